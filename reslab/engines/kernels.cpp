// Batch normalisation in training with what stands beside it: the addition of the shortcut, the ReLU, and backwards the
// sum of the two gradients that meet where a block begins. One pass over memory for the statistics, one for the result,
// where separate operators need one each. Tensors are [rows, channels], that is N*H*W rows of a channels_last map, in
// fp32 or bf16; every sum is fp32 within a chunk and double across chunks.
//
// Chunks are of fixed size and are added in order, so that a result does not depend on the number of threads.
// Compiled by kernels.py; the slow twin is torch's own batch norm (tests/engines/test_kernels.py).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

typedef float Floats __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32), aligned(2)));
typedef uint16_t bf16;

constexpr long LANES = 16;  // of one vector
constexpr long WIDE = 64;   // columns that one inner loop keeps in registers: four vectors
constexpr long CHUNK = 512; // rows of the grid below that are summed in fp32

inline Floats load(const float* from) { return *(const Floats*)from; }
inline Floats load(const bf16* from) { return (Floats)(__builtin_convertvector(*(const Halves*)from, Words) << 16); }
inline void store(float* to, Floats value) { *(Floats*)to = value; }
inline void store(bf16* to, Floats value) {
#if defined(__AVX512BF16__)
    __m256bh halves = _mm512_cvtneps_pbh((__m512)value);
    std::memcpy(to, &halves, 32);
#else
    Words bits = (Words)value;
    Ints not_a_number = value != value; // rounding would carry a NaN into infinity
    Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = (rounded & ~(Words)not_a_number) | ((Words)not_a_number & 0x7fc0);
    *(Halves*)to = __builtin_convertvector(rounded, Halves);
#endif
}
inline Floats where(Ints mask, Floats value) { return (Floats)(mask & (Ints)value); }
inline Floats relu(Floats value) { return where((value > 0.0f) | (value != value), value); } // NaN stays NaN

// The matrix as it is walked: where 64 is a multiple of the channels, several rows are taken as one of 64 columns.
struct Grid {
    long channels, width, rows, columns, chunks, folds;
    Grid(long n, long c) : channels(c) {
        bool folded = WIDE % c == 0 && n * c % WIDE == 0;
        width = folded ? WIDE : c;
        folds = width / c;
        rows = n / folds;
        columns = width % WIDE == 0 ? WIDE : LANES;
        chunks = (rows + CHUNK - 1) / CHUNK;
    }
    long pieces() const { return chunks * (width / columns); }
};

// The part of the grid that one turn of a loop over `pieces` computes.
struct Piece {
    long column, first, last, sums; // sums: where its partial sums stand
    Piece(const Grid& grid, long number) {
        long chunk = number % grid.chunks;
        column = number / grid.chunks * grid.columns;
        first = chunk * CHUNK;
        last = std::min(grid.rows, first + CHUNK);
        sums = chunk * grid.width + column;
    }
};

// Calls body(offset, column) for every vector of a piece. V vectors stand beside each other.
template <int V, class Body> inline void walk(const Grid& grid, const Piece& piece, Body body) {
    for (long row = piece.first; row < piece.last; row++)
        for (int v = 0; v < V; v++) body(row * grid.width + piece.column + v * LANES, v);
}

template <int V> struct Columns {
    Floats at[V];
    Columns() { for (auto& each : at) each = Floats{}; }
    explicit Columns(const float* from) { for (int v = 0; v < V; v++) at[v] = load(from + v * LANES); }
    void write(double* to) const {
        for (int v = 0; v < V; v++)
            for (int i = 0; i < LANES; i++) to[v * LANES + i] = at[v][i];
    }
};

// Shares the pieces among the threads of the region; body(piece, V) with V vectors beside each other.
template <class Body> inline void each_piece(const Grid& grid, Body body) {
#pragma omp for schedule(static)
    for (long i = 0; i < grid.pieces(); i++) {
        Piece piece(grid, i);
        if (grid.columns == WIDE)
            body(piece, std::integral_constant<int, WIDE / LANES>());
        else
            body(piece, std::integral_constant<int, 1>());
    }
}

// Two sums per column and chunk; `total` adds those of a channel in a fixed order.
struct Sums {
    long channels;
    std::vector<double> one, two;
    explicit Sums(const Grid& grid) : channels(grid.channels), one(grid.chunks * grid.width), two(one.size()) {}
    void total(long channel, double& a, double& b) const {
        a = b = 0;
        for (size_t at = channel; at < one.size(); at += channels) {
            a += one[at];
            b += two[at];
        }
    }
};

// A value per channel, repeated over the columns of the grid.
struct Repeated {
    const Grid& grid;
    std::vector<float> values;
    explicit Repeated(const Grid& grid) : grid(grid), values(grid.width) {}
    void set(long channel, float value) {
        for (long at = channel; at < grid.width; at += grid.channels) values[at] = value;
    }
    const float* at(long column) const { return values.data() + column; }
};

template <class T> struct Forward {
    const T *x, *shortcut; // shortcut: null where nothing is added
    T* y;
    long rows, channels;
    const float *weight, *bias;
    float *running_mean, *running_var, *mean, *invstd; // the last two are kept for the way back
    float momentum, eps;
    bool relu_follows;

    // Sums of x - k and of its square; k, the first row, keeps the variance exact where the mean is large.
    template <int V> void sums(const Grid& grid, const Piece& piece, const Repeated& first, Sums& sums) const {
        Columns<V> k(first.at(piece.column)), one, two;
        walk<V>(grid, piece, [&](long at, int v) {
            Floats value = load(x + at) - k.at[v];
            one.at[v] += value;
            two.at[v] += value * value;
        });
        one.write(&sums.one[piece.sums]);
        two.write(&sums.two[piece.sums]);
    }

    // The mean is subtracted before anything is multiplied: with a large mean the rest would cancel.
    template <int V>
    void result(const Grid& grid, const Piece& piece, const Repeated& centre, const Repeated& scale, const Repeated& shift) const {
        Columns<V> k(centre.at(piece.column)), a(scale.at(piece.column)), b(shift.at(piece.column));
        auto put = [&](long at, Floats value) { store(y + at, relu_follows ? relu(value) : value); };
        auto normalised = [&](long at, int v) { return (load(x + at) - k.at[v]) * a.at[v] + b.at[v]; };
        if (shortcut)
            walk<V>(grid, piece, [&](long at, int v) { put(at, normalised(at, v) + load(shortcut + at)); });
        else
            walk<V>(grid, piece, [&](long at, int v) { put(at, normalised(at, v)); });
    }

    void run(int threads) const {
        Grid grid(rows, channels);
        Sums partial(grid);
        Repeated first(grid), centre(grid), scale(grid), shift(grid);
        for (long c = 0; c < channels; c++) first.set(c, load(x + c / LANES * LANES)[c % LANES]);
#pragma omp parallel num_threads(threads)
        {
            each_piece(grid, [&](const Piece& piece, auto v) { sums<v()>(grid, piece, first, partial); });
#pragma omp for schedule(static)
            for (long c = 0; c < channels; c++) {
                double one, two;
                partial.total(c, one, two);
                double off = one / rows;
                double variance = std::max(two / rows - off * off, 0.0); // NaN stays NaN
                mean[c] = first.at(0)[c] + off;
                invstd[c] = 1.0 / std::sqrt(variance + eps);
                running_mean[c] += momentum * (mean[c] - running_mean[c]);
                running_var[c] += momentum * ((float)(variance * rows / (rows - 1)) - running_var[c]);
                centre.set(c, mean[c]);
                scale.set(c, weight[c] * invstd[c]);
                shift.set(c, bias[c]);
            }
            each_piece(grid, [&](const Piece& piece, auto v) { result<v()>(grid, piece, centre, scale, shift); });
        }
    }
};

// g = (dy + dy_other) where y > 0 is the gradient of the sum before the ReLU, and the shortcut's own.
// dx = weight * invstd * (g - mean(g) - xhat * mean(g * xhat)).
template <class T> struct Backward {
    const T *dy, *dy_other, *y, *x; // dy_other, y: null where there is no second use, no ReLU
    T *dx, *g;                      // g: null where dy alone will do
    long rows, channels;
    const float *weight, *mean, *invstd;
    float *dweight, *dbias;

    inline Floats gradient(long at) const {
        Floats value = load(dy + at);
        if (dy_other) value += load(dy_other + at);
        return y ? where(load(y + at) > 0.0f, value) : value;
    }

    template <int V> void sums(const Grid& grid, const Piece& piece, const Repeated& centre, Sums& sums) const {
        Columns<V> k(centre.at(piece.column)), one, two;
        auto add = [&](long at, int v, Floats value) {
            one.at[v] += value;
            two.at[v] += value * (load(x + at) - k.at[v]);
        };
        if (g)
            walk<V>(grid, piece, [&](long at, int v) {
                Floats value = gradient(at);
                store(g + at, value);
                add(at, v, value);
            });
        else
            walk<V>(grid, piece, [&](long at, int v) { add(at, v, gradient(at)); });
        one.write(&sums.one[piece.sums]);
        two.write(&sums.two[piece.sums]);
    }

    template <int V>
    void result(const Grid& grid, const Piece& piece, const Repeated& centre, const Repeated& of_g, const Repeated& of_x,
                const Repeated& rest) const {
        Columns<V> k(centre.at(piece.column)), a(of_g.at(piece.column)), b(of_x.at(piece.column)), c(rest.at(piece.column));
        walk<V>(grid, piece, [&](long at, int v) {
            Floats value = g ? load(g + at) : gradient(at);
            store(dx + at, value * a.at[v] + ((load(x + at) - k.at[v]) * b.at[v] + c.at[v]));
        });
    }

    void run(int threads) const {
        Grid grid(rows, channels);
        Sums partial(grid);
        Repeated centre(grid), of_g(grid), of_x(grid), rest(grid);
        for (long c = 0; c < channels; c++) centre.set(c, mean[c]);
#pragma omp parallel num_threads(threads)
        {
            each_piece(grid, [&](const Piece& piece, auto v) { sums<v()>(grid, piece, centre, partial); });
#pragma omp for schedule(static)
            for (long c = 0; c < channels; c++) {
                double one, two;
                partial.total(c, one, two);
                double scale = (double)weight[c] * invstd[c], slope = -scale * invstd[c] * invstd[c] * two / rows;
                dbias[c] = one;
                dweight[c] = two * invstd[c];
                of_g.set(c, scale);
                of_x.set(c, slope);
                rest.set(c, -scale * one / rows);
            }
            each_piece(grid, [&](const Piece& piece, auto v) { result<v()>(grid, piece, centre, of_g, of_x, rest); });
        }
    }
};

} // namespace

#define EXPORT(name, T)                                                                                                \
    extern "C" void forward_##name(const T* x, const T* shortcut, T* y, long rows, long channels, const float* weight, \
                                   const float* bias, float* running_mean, float* running_var, float* mean,           \
                                   float* invstd, float momentum, float eps, int relu, int threads) {                 \
        Forward<T>{x, shortcut, y, rows, channels, weight, bias, running_mean, running_var, mean, invstd, momentum,   \
                   eps, relu != 0}.run(threads);                                                                      \
    }                                                                                                                 \
    extern "C" void backward_##name(const T* dy, const T* dy_other, const T* y, const T* x, T* dx, T* g, long rows,   \
                                    long channels, const float* weight, const float* mean, const float* invstd,       \
                                    float* dweight, float* dbias, int threads) {                                      \
        Backward<T>{dy, dy_other, y, x, dx, g, rows, channels, weight, mean, invstd, dweight, dbias}.run(threads);    \
    }
EXPORT(fp32, float)
EXPORT(bf16, bf16)
