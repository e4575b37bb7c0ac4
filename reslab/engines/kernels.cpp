// Batch normalisation in training, fused with the addition of the shortcut and the ReLU; in the backward pass also with
// the sum of the two gradients of a block's input. Tensors are [rows, channels]: a channels_last map as a matrix with
// N*H*W rows, in fp32 or bf16.
//
// Passes. The map is read twice: once for the statistics, once for the result. Separate operators would read and write it
// once more each, and memory is what limits them.
//
// Sums. Each chunk of 512 rows is summed in fp32, and the chunks in double: short enough for fp32 to stay accurate, and
// the inner loop stays in vector registers. Chunks have a fixed size and are added in order, whichever thread computed
// them. So the result has the same bits for any number of threads.
//
// Threads. A thread takes whole chunks of rows and columns, writes only its own part of the output and of the partial
// sums, and needs no lock. Two barriers per call: after the partial sums, and after the statistics of the channels.
//
// Compiled by kernels.py; the reference in the tests is torch's own batch norm (tests/engines/test_kernels.py).

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

constexpr long LANES = 16;  // floats in a vector
constexpr long WIDE = 64;   // columns whose sums an inner loop keeps in registers: four vectors
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
    Ints not_a_number = value != value; // rounding could turn a NaN into infinity
    Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    rounded = (rounded & ~(Words)not_a_number) | ((Words)not_a_number & 0x7fc0);
    *(Halves*)to = __builtin_convertvector(rounded, Halves);
#endif
}
inline Floats masked(Ints mask, Floats value) { return (Floats)(mask & (Ints)value); }
inline Floats relu(Floats value) { return masked((value > 0.0f) | (value != value), value); } // NaN stays NaN

// The matrix as the loops see it. If the channels divide 64, several rows are folded into one of 64 columns, so that maps
// of 16 or 32 channels also fill four vectors; column i is then channel i % channels.
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

// One unit of work: a chunk of rows, and 64 (or 16) columns.
struct Piece {
    long column, first, last, sums; // sums: index of its partial sums
    Piece(const Grid& grid, long number) {
        long chunk = number % grid.chunks;
        column = number / grid.chunks * grid.columns;
        first = chunk * CHUNK;
        last = std::min(grid.rows, first + CHUNK);
        sums = chunk * grid.width + column;
    }
};

// Calls body(offset, v) for every vector of a piece, v = 0 .. V - 1 from left to right.
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

// Calls body(piece, V) for all pieces, shared among the threads of the parallel region; V vectors per row. The static
// schedule gives a thread the same rows in both passes, so that its cache may still hold them.
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

// Two partial sums per column and chunk (of x and x*x, or of g and g*x). `total` adds those of a channel in the order of
// the chunks, which makes the result independent of the threads.
struct Sums {
    long channels;
    std::vector<double> first, second;
    explicit Sums(const Grid& grid) : channels(grid.channels), first(grid.chunks * grid.width), second(first.size()) {}
    void total(long channel, double& a, double& b) const {
        a = b = 0;
        for (size_t at = channel; at < first.size(); at += channels) {
            a += first[at];
            b += second[at];
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
    const T *x, *shortcut; // shortcut: null if nothing is added
    T* y;
    long rows, channels;
    const float *weight, *bias;
    float *running_mean, *running_var, *mean, *invstd; // the last two are kept for the backward pass
    float momentum, eps;
    bool relu_follows;

    // Sums of x - k and of (x - k)^2. With k = the first row, E[x^2] - E[x]^2 does not cancel if the mean is large.
    template <int V> void sums(const Grid& grid, const Piece& piece, const Repeated& first_row, Sums& sums) const {
        Columns<V> k(first_row.at(piece.column)), sum, squares;
        walk<V>(grid, piece, [&](long at, int v) {
            Floats value = load(x + at) - k.at[v];
            sum.at[v] += value;
            squares.at[v] += value * value;
        });
        sum.write(&sums.first[piece.sums]);
        squares.write(&sums.second[piece.sums]);
    }

    // The mean is subtracted before the multiplication: x * scale + (bias - mean * scale) cancels if the mean is large.
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
        Repeated first_row(grid), centre(grid), scale(grid), shift(grid);
        for (long c = 0; c < channels; c++) first_row.set(c, load(x + c / LANES * LANES)[c % LANES]);
#pragma omp parallel num_threads(threads)
        {
            each_piece(grid, [&](const Piece& piece, auto v) { sums<v()>(grid, piece, first_row, partial); });
#pragma omp for schedule(static)
            for (long c = 0; c < channels; c++) {
                double sum, squares;
                partial.total(c, sum, squares);
                double offset = sum / rows; // of the mean from the first row
                double variance = std::max(squares / rows - offset * offset, 0.0); // NaN stays NaN
                mean[c] = first_row.at(0)[c] + offset;
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

// g = (dy + dy_other) * [y > 0] is the gradient of the sum before the ReLU, and so the gradient of the shortcut.
// dx = weight * invstd * (g - mean(g) - xhat * mean(g * xhat)), xhat = (x - mean) * invstd.
template <class T> struct Backward {
    const T *dy, *dy_other, *y, *x; // dy_other: null if the output was used once; y: null without ReLU
    T *dx, *g;                      // g: null if it is not stored but computed in both passes
    long rows, channels;
    const float *weight, *mean, *invstd;
    float *dweight, *dbias;

    inline Floats gradient(long at) const {
        Floats value = load(dy + at);
        if (dy_other) value += load(dy_other + at);
        return y ? masked(load(y + at) > 0.0f, value) : value;
    }

    // Sums of g and of g * (x - mean); stores g if it is needed again.
    template <int V> void sums(const Grid& grid, const Piece& piece, const Repeated& centre, Sums& sums) const {
        Columns<V> k(centre.at(piece.column)), sum, products;
        auto add = [&](long at, int v, Floats value) {
            sum.at[v] += value;
            products.at[v] += value * (load(x + at) - k.at[v]);
        };
        if (g)
            walk<V>(grid, piece, [&](long at, int v) {
                Floats value = gradient(at);
                store(g + at, value);
                add(at, v, value);
            });
        else
            walk<V>(grid, piece, [&](long at, int v) { add(at, v, gradient(at)); });
        sum.write(&sums.first[piece.sums]);
        products.write(&sums.second[piece.sums]);
    }

    template <int V>
    void result(const Grid& grid, const Piece& piece, const Repeated& centre, const Repeated& scale, const Repeated& slope,
                const Repeated& shift) const {
        Columns<V> k(centre.at(piece.column)), a(scale.at(piece.column)), b(slope.at(piece.column)), c(shift.at(piece.column));
        walk<V>(grid, piece, [&](long at, int v) {
            Floats value = g ? load(g + at) : gradient(at);
            store(dx + at, value * a.at[v] + ((load(x + at) - k.at[v]) * b.at[v] + c.at[v]));
        });
    }

    void run(int threads) const {
        Grid grid(rows, channels);
        Sums partial(grid);
        Repeated centre(grid), scale(grid), slope(grid), shift(grid); // dx = g * scale + (x - mean) * slope + shift
        for (long c = 0; c < channels; c++) centre.set(c, mean[c]);
#pragma omp parallel num_threads(threads)
        {
            each_piece(grid, [&](const Piece& piece, auto v) { sums<v()>(grid, piece, centre, partial); });
#pragma omp for schedule(static)
            for (long c = 0; c < channels; c++) {
                double sum, products;
                partial.total(c, sum, products);
                double factor = (double)weight[c] * invstd[c];
                dbias[c] = sum;
                dweight[c] = products * invstd[c];
                scale.set(c, factor);
                slope.set(c, -factor * invstd[c] * invstd[c] * products / rows);
                shift.set(c, -factor * sum / rows);
            }
            each_piece(grid, [&](const Piece& piece, auto v) { result<v()>(grid, piece, centre, scale, slope, shift); });
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
