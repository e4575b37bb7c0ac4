// 3x3 convolutions of stride 1 and padding 1, forward and both ways back, by Winograd's F(2x2, 3x3) (Lavin and Gray 2015):
// 16 multiplications for four outputs where the direct way needs 36. Maps are bf16 in channels_last, weights fp32; patches,
// weights and outputs are transformed in fp32, and only what is multiplied is rounded to bf16.
//
//   forward            y  = A^T [ U . V ] A       V = B^T d B of the 4x4 patch d of a tile of 2x2 outputs, U = G w G^T
//   input's gradient   the forward of dy with the weights turned by 180° and inputs and outputs exchanged
//   weights' gradient  dw = G^T [ sum V . S ] G   S = A dy A^T of a tile
//
// The dots are matrix products over channels (or, for dw, over tiles), one for each of the 16 points. Tiles are computed in
// blocks that stay in the second cache; sums over images in fixed parts, so that the number of threads changes no bit.
// Compiled by winograd.py; the slow twin is torch's own convolution in float64 (tests/engines/test_winograd.py).

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>
#include <memory>

namespace {

typedef __m512 Floats;
typedef uint16_t bf16;

constexpr long LANES = 16;  // of one vector
constexpr long TILES = 48;  // computed together: a multiple of every T below
constexpr long POINTS = 16; // of a transformed patch
constexpr long PARTS = 8;   // of the images, whose sums are made apart

inline Floats load(const bf16* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16));
}
inline void store(bf16* to, Floats value) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(value)); }
inline __m512i both(Floats one, Floats two) { return (__m512i)_mm512_cvtne2ps_pbh(two, one); } // in the order of memory
inline Floats zero() { return _mm512_setzero_ps(); }
inline Floats dot(Floats sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
inline bf16 rounded(float value) { return (bf16)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0); }

// Memory in lines of the cache; what it holds at first is left open.
template <class T> struct Room {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    long bytes;
    std::unique_ptr<T[], Free> at;
    explicit Room(long count) : bytes((count * sizeof(T) + 63) / 64 * 64), at((T*)std::aligned_alloc(64, bytes)) {}
    T* get() const { return at.get(); }
};

struct Maps {
    long images, height, width;
    long down() const { return (height + 1) / 2; }
    long across() const { return (width + 3) / 4 * 2; } // tiles come in pairs: the last of a row may lie outside
    long tiles() const { return images * down() * across(); }
    long pixel(long image, long row, long column) const { return (image * height + row) * width + column; }
};

struct Strides {
    long k, c, row, column;
};

// Calls body(tile - from, image, row, first column, count) for the tiles [from, to), those beside each other together.
template <class Body> inline void stretches(const Maps& maps, long from, long to, Body body) {
    for (long tile = from; tile < to;) {
        long line = tile / maps.across(), tx = tile % maps.across();
        long count = std::min(to - tile, maps.across() - tx);
        body(tile - from, line / maps.down(), 2 * (line % maps.down()), 2 * tx, count);
        tile += count;
    }
}

// V of the tiles [from, to), two at a time: put(point, tile, channel, of this tile, of the next).
template <class Put> inline void patches(const Maps& maps, const bf16* x, long channels, long from, long to, Put put) {
    stretches(maps, from, to, [&](long tile, long image, long row, long column, long count) {
        const bf16* lines[4];
        for (long i = 0; i < 4; i++) {
            long y = row - 1 + i;
            lines[i] = y < 0 || y >= maps.height ? nullptr : x + maps.pixel(image, y, 0) * channels;
        }
        for (long c = 0; c < channels; c += LANES) {
            Floats p[6][4]; // B^T d: two tiles stand on six columns, of which the next pair has two
            auto read = [&](Floats* to, long at) {
                Floats d[4];
                bool inside = at >= 0 && at < maps.width;
                for (int i = 0; i < 4; i++) d[i] = inside && lines[i] ? load(lines[i] + at * channels + c) : zero();
                to[0] = d[0] - d[2], to[1] = d[1] + d[2], to[2] = d[2] - d[1], to[3] = d[1] - d[3];
            };
            read(p[0], column - 1);
            read(p[1], column);
            for (long i = 0; i < count; i += 2) {
                for (int j = 2; j < 6; j++) read(p[j], column + 2 * i + j - 1);
                for (int r = 0; r < 4; r++) {
                    put(4 * r + 0, tile + i, c, p[0][r] - p[2][r], p[2][r] - p[4][r]);
                    put(4 * r + 1, tile + i, c, p[1][r] + p[2][r], p[3][r] + p[4][r]);
                    put(4 * r + 2, tile + i, c, p[2][r] - p[1][r], p[4][r] - p[3][r]);
                    put(4 * r + 3, tile + i, c, p[1][r] - p[3][r], p[3][r] - p[5][r]);
                }
                for (int r = 0; r < 4; r++) p[0][r] = p[4][r], p[1][r] = p[5][r];
            }
        }
    });
}

// S of the tiles [from, to), two at a time, as of `patches`.
template <class Put> inline void gradients(const Maps& maps, const bf16* dy, long channels, long from, long to, Put put) {
    stretches(maps, from, to, [&](long tile, long image, long row, long column, long count) {
        bool below = row + 1 < maps.height;
        for (long i = 0; i < count; i += 2)
            for (long k = 0; k < channels; k += LANES) {
                Floats p[4][4]; // A dy
                for (int q = 0; q < 4; q++) {
                    long at = column + 2 * i + q;
                    const bf16* d = dy + maps.pixel(image, row, at) * channels + k;
                    bool inside = at < maps.width;
                    Floats a = inside ? load(d) : zero(), b = inside && below ? load(d + maps.width * channels) : zero();
                    p[0][q] = a, p[1][q] = a + b, p[2][q] = a - b, p[3][q] = -b;
                }
                for (int r = 0; r < 4; r++) {
                    put(4 * r + 0, tile + i, k, p[r][0], p[r][2]);
                    put(4 * r + 1, tile + i, k, p[r][0] + p[r][1], p[r][2] + p[r][3]);
                    put(4 * r + 2, tile + i, k, p[r][0] - p[r][1], p[r][2] - p[r][3]);
                    put(4 * r + 3, tile + i, k, -p[r][1], -p[r][3]);
                }
            }
    });
}

// m[point][tile][k] = sum over c of V[point][tile][c] U[point][c][k], for Q points, T tiles and V vectors of k at a time.
// A whole row of points (Q = 4) goes on to [column of A^T m A][tile][k]. C: the channels where they are known, or 0.
template <int Q, int T, int V, int C> void product(const bf16* v, const bf16* u, float* m, long given, long c_out) {
    const long c_in = C ? C : given; // known, its multiples need no registers
    for (long k = 0; k < c_out; k += V * LANES)
        for (long tile = 0; tile < TILES; tile += T) {
            Floats sums[Q][T][V];
            for (auto& point : sums)
                for (auto& line : point)
                    for (auto& each : line) each = zero();
            const int32_t* pairs = (const int32_t*)(v + tile * c_in);
            const bf16* line = u + 2 * k;
            for (long group = 0; group < c_in / LANES; group++, pairs += LANES)
#pragma GCC unroll 1
                for (long p = 0; p < LANES / 2; p++, line += 2 * c_out)
                    for (int q = 0; q < Q; q++) {
                        __m512i weights[V];
                        for (int i = 0; i < V; i++) weights[i] = _mm512_load_si512(line + q * c_in * c_out + 2 * i * LANES);
                        for (int t = 0; t < T; t++) {
                            long at = q * TILES * c_in / 2 + t / 2 * c_in + t % 2 * LANES / 2 + p;
                            __m512i value = _mm512_set1_epi32(pairs[at]);
                            for (int i = 0; i < V; i++) sums[q][t][i] = dot(sums[q][t][i], value, weights[i]);
                        }
                    }
            for (int t = 0; t < T; t++)
                for (int i = 0; i < V; i++) {
                    float* to = m + (tile + t) * c_out + k + i * LANES;
                    if constexpr (Q == 4) {
                        Floats a = sums[0][t][i], b = sums[1][t][i], c = sums[2][t][i], d = sums[3][t][i];
                        _mm512_store_ps(to, a + b + c);
                        _mm512_store_ps(to + TILES * c_out, b - c - d);
                    } else
                        _mm512_store_ps(to, sums[0][t][i]);
                }
        }
}

// All points. V: [point][tile / 2][c / 16][tile % 2][16]; U: [point][c / 2][k][2].
template <int Q, int T, int V> void products(const bf16* v, const bf16* u, float* m, long c_in, long c_out) {
    for (long point = 0; point < POINTS; point += Q) {
        const bf16 *a = v + point * TILES * c_in, *b = u + point * c_in * c_out;
        float* to = m + (Q == 4 ? point / 2 : point) * TILES * c_out;
        if (c_in == 16) product<Q, T, V, 16>(a, b, to, c_in, c_out);
        else if (c_in == 32) product<Q, T, V, 32>(a, b, to, c_in, c_out);
        else if (c_in == 64) product<Q, T, V, 64>(a, b, to, c_in, c_out);
        else product<Q, T, V, 0>(a, b, to, c_in, c_out);
    }
}

// A^T m A of the tiles [from, to). `halved`: the rows of points have been summed already.
template <bool halved> void outputs(const Maps& maps, const float* m, bf16* y, long channels, long from, long to) {
    stretches(maps, from, to, [&](long tile, long image, long row, long column, long count) {
        bool below = row + 1 < maps.height;
        for (long i = 0; i < count && column + 2 * i < maps.width; i++)
            for (long k = 0; k < channels; k += LANES) {
                Floats p[4][2], top[2], low[2];
                auto point = [&](long at) { return _mm512_load_ps(m + (at * TILES + tile + i) * channels + k); };
                for (int r = 0; r < 4; r++)
                    if constexpr (halved)
                        p[r][0] = point(2 * r), p[r][1] = point(2 * r + 1);
                    else {
                        Floats b = point(4 * r + 1), c = point(4 * r + 2);
                        p[r][0] = point(4 * r) + b + c, p[r][1] = b - c - point(4 * r + 3);
                    }
                for (int q = 0; q < 2; q++) top[q] = p[0][q] + p[1][q] + p[2][q], low[q] = p[1][q] - p[2][q] - p[3][q];
                bf16* at = y + maps.pixel(image, row, column + 2 * i) * channels + k;
                auto put = [&](bf16* at, const Floats* pixels, bool right) {
                    if (right && channels == LANES) _mm512_storeu_si512(at, both(pixels[0], pixels[1]));
                    else {
                        store(at, pixels[0]);
                        if (right) store(at + channels, pixels[1]);
                    }
                };
                bool right = column + 2 * i + 1 < maps.width;
                put(at, top, right);
                if (below) put(at + maps.width * channels, low, right);
            }
    });
}

// U of the weights w[k][c]; turned: of those of the way back.
void transform(const float* w, bf16* u, long c_in, long c_out, Strides at, bool turned, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long pair = 0; pair < c_in / 2; pair++) // no two threads write into one word
        for (long c = 2 * pair; c < 2 * pair + 2; c++)
            for (long k = 0; k < c_out; k++) {
                auto widened = [](float a, float b, float c, float* to) { // G
                    to[0] = a, to[1] = 0.5f * (a + b + c), to[2] = 0.5f * (a - b + c), to[3] = c;
                };
                auto tap = [&](long r, long q) {
                    return turned ? w[c * at.k + k * at.c + (2 - r) * at.row + (2 - q) * at.column]
                                  : w[k * at.k + c * at.c + r * at.row + q * at.column];
                };
                float columns[3][4], points[4];
                for (int q = 0; q < 3; q++) widened(tap(0, q), tap(1, q), tap(2, q), columns[q]);
                for (int r = 0; r < 4; r++) {
                    widened(columns[0][r], columns[1][r], columns[2][r], points);
                    for (int q = 0; q < 4; q++)
                        u[(((4 * r + q) * (c_in / 2) + pair) * c_out + k) * 2 + c % 2] = rounded(points[q]);
                }
            }
}

// M[point][c][k] += sum over tiles of V[point][tile][c] S[point][tile][k], both [tile / 2][channel][2]; C channels and V
// vectors of k at a time.
template <int C, int V> void outer(const bf16* v, const bf16* s, float* m, long pairs, long c_in, long c_out) {
    for (long c = 0; c < c_in; c += C)
        for (long k = 0; k < c_out; k += V * LANES) {
            Floats sums[C][V];
            float* to = m + c * c_out + k;
            for (int j = 0; j < C; j++)
                for (int i = 0; i < V; i++) sums[j][i] = _mm512_load_ps(to + j * c_out + i * LANES);
            for (long p = 0; p < pairs; p++) {
                __m512i lines[V];
                for (int i = 0; i < V; i++) lines[i] = _mm512_load_si512(s + 2 * (p * c_out + k + i * LANES));
                for (int j = 0; j < C; j++) {
                    __m512i value = _mm512_set1_epi32(((const int32_t*)v)[p * c_in + c + j]);
                    for (int i = 0; i < V; i++) sums[j][i] = dot(sums[j][i], value, lines[i]);
                }
            }
            for (int j = 0; j < C; j++)
                for (int i = 0; i < V; i++) _mm512_store_ps(to + j * c_out + i * LANES, sums[j][i]);
        }
}

// Two tiles of 16 channels, the tiles of a channel beside each other.
inline void store_paired(bf16* to, Floats one, Floats two) {
    alignas(64) static constexpr uint16_t ORDER[] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                     8,  24, 9,  25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    _mm512_store_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(ORDER), both(one, two)));
}

// dw[k][c] = G^T M G of 16 k, M the sum of the parts.
void taps(const float* sums, long parts, long size, float* dw, long c, long k, long c_in, long c_out, Strides at) {
    auto narrowed = [](Floats a, Floats b, Floats c, Floats d, Floats* to) { // G^T
        Floats even = 0.5f * (b + c);
        to[0] = a + even, to[1] = 0.5f * (b - c), to[2] = even + d;
    };
    Floats m[4][4], columns[4][3], row[3];
    for (long point = 0; point < POINTS; point++) {
        const float* from = sums + (point * c_in + c) * c_out + k;
        Floats sum = _mm512_load_ps(from);
        for (long part = 1; part < parts; part++) sum += _mm512_load_ps(from + part * size);
        m[point / 4][point % 4] = sum;
    }
    for (int q = 0; q < 4; q++) narrowed(m[0][q], m[1][q], m[2][q], m[3][q], columns[q]);
    for (int r = 0; r < 3; r++) {
        narrowed(columns[0][r], columns[1][r], columns[2][r], columns[3][r], row);
        for (int q = 0; q < 3; q++)
            for (long i = 0; i < LANES; i++) dw[(k + i) * at.k + c * at.c + r * at.row + q * at.column] = row[q][i];
    }
}

} // namespace

// y[images][height][width][c_out]; w as its strides say, [c_out][c_in] or, turned, [c_in][c_out].
extern "C" void convolve(const bf16* x, const float* w, bf16* y, long images, long height, long width, long c_in, long c_out,
                         long k, long c, long row, long column, int turned, int threads) {
    Maps maps{images, height, width};
    Room<bf16> u(POINTS * c_in * c_out);
    transform(w, u.get(), c_in, c_out, {k, c, row, column}, turned, threads);
#pragma omp parallel num_threads(threads)
    {
        Room<bf16> v(POINTS * TILES * c_in);
        Room<float> m(POINTS * TILES * c_out);
#pragma omp for schedule(static)
        for (long from = 0; from < maps.tiles(); from += TILES) {
            long to = std::min(maps.tiles(), from + TILES);
            patches(maps, x, c_in, from, to, [&](long point, long tile, long c, Floats one, Floats two) {
                _mm512_store_si512(v.get() + (point * TILES + tile) * c_in + 2 * c, both(one, two));
            });
            if (c_out % 64 == 0) products<1, 6, 4>(v.get(), u.get(), m.get(), c_in, c_out);
            else if (c_out % 32 == 0) products<1, 12, 2>(v.get(), u.get(), m.get(), c_in, c_out);
            else products<4, 6, 1>(v.get(), u.get(), m.get(), c_in, c_out);
            (c_out % 32 ? outputs<true> : outputs<false>)(maps, m.get(), y, c_out, from, to);
        }
    }
}

// dw[c_out][c_in], fp32, as its strides say.
extern "C" void weight_gradient(const bf16* x, const bf16* dy, float* dw, long images, long height, long width, long c_in,
                                long c_out, long k, long c, long row, long column, int threads) {
    Maps maps{images, height, width};
    long size = POINTS * c_in * c_out, parts = std::min(PARTS, images), each = maps.tiles() / images;
    Room<float> sums(parts * size);
#pragma omp parallel num_threads(threads)
    {
        Room<bf16> v(POINTS * TILES * c_in), s(POINTS * TILES * c_out);
#pragma omp for schedule(static)
        for (long part = 0; part < parts; part++) {
            float* mine = sums.get() + part * size;
            std::memset(mine, 0, size * sizeof(float));
            long last = images * (part + 1) / parts * each;
            for (long from = images * part / parts * each; from < last; from += TILES) {
                long to = std::min(last, from + TILES), pairs = (to - from) / 2;
                patches(maps, x, c_in, from, to, [&](long point, long tile, long c, Floats one, Floats two) {
                    store_paired(v.get() + (point * TILES + tile) * c_in + 2 * c, one, two);
                });
                gradients(maps, dy, c_out, from, to, [&](long point, long tile, long k, Floats one, Floats two) {
                    store_paired(s.get() + (point * TILES + tile) * c_out + 2 * k, one, two);
                });
                for (long point = 0; point < POINTS; point++) {
                    const bf16 *a = v.get() + point * TILES * c_in, *b = s.get() + point * TILES * c_out;
                    float* m = mine + point * c_in * c_out;
                    if (c_out % 64 == 0) outer<4, 4>(a, b, m, pairs, c_in, c_out);
                    else if (c_out % 32 == 0) outer<8, 2>(a, b, m, pairs, c_in, c_out);
                    else outer<16, 1>(a, b, m, pairs, c_in, c_out);
                }
            }
        }
#pragma omp for schedule(static)
        for (long in = 0; in < c_in; in++)
            for (long out = 0; out < c_out; out += LANES)
                taps(sums.get(), parts, size, dw, in, out, c_in, c_out, {k, c, row, column});
    }
}
