// 3x3 convolutions of stride 1 and padding 1, forward and backward, by Winograd's F(2x2, 3x3) (Lavin and Gray 2015):
// 16 multiplications for a tile of 2x2 outputs; the direct method needs 36.
//
//   forward            y  = A^T [ U . V ] A       V = B^T d B of the 4x4 patch d of a tile of 2x2 outputs, U = G w G^T
//   input's gradient   the forward of dy with the weights rotated by 180 degrees and c_in and c_out exchanged
//   weights' gradient  dw = G^T [ sum V . S ] G   S = A dy A^T of a tile
//
// The dots are matrix products over channels (for dw: over tiles), one for each of the 16 points of a transformed patch.
//
// Why tiles of 2x2. A larger tile multiplies less (4x4: 36 for 16 outputs), but its transforms have factors up to 8 in
// place of 1 and 1/2 and so enlarge the rounding errors of bf16. Maps of CIFAR nets are also only 8 to 32 pixels wide.
//
// Precision. Maps are bf16 in channels_last, weights fp32. Patches, weights and outputs are transformed in fp32, and only
// the factors U, V and S are rounded to bf16, which the CPU multiplies with sums in fp32 (vdpbf16ps). That is one rounding
// more than in the direct method, since B^T d B adds four values of d; docs/performance.md has the errors of both.
//
// Layout. vdpbf16ps multiplies pairs of neighbouring bf16, so channels (for dw: tiles) are stored in pairs, and transforms
// handle two neighbouring tiles at once: that fills a vector of 32 bf16 with one instruction. 48 tiles are computed
// together: their V and products fit into the second-level cache.
//
// Threads. Each takes blocks of tiles and writes only its own outputs. dw is summed over at most 8 fixed parts of the
// images, which are then added in order. So the result has the same bits for any number of threads.
//
// Compiled by winograd.py; the reference in the tests is torch's convolution in float64 (tests/engines/test_winograd.py).

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>
#include <memory>

namespace {

typedef __m512 Floats;
typedef uint16_t bf16;

constexpr long LANES = 16;  // floats in a vector
constexpr long TILES = 48;  // tiles computed together: a multiple of every T below
constexpr long POINTS = 16; // points of a transformed patch, 4x4
constexpr long PARTS = 8;   // parts of the images that are summed separately for dw

inline Floats load(const bf16* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)), 16));
}
inline void store(bf16* to, Floats value) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(value)); }
inline __m512i both(Floats low, Floats high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); } // in the order of memory
inline Floats zero() { return _mm512_setzero_ps(); }
inline Floats dot(Floats sum, __m512i a, __m512i b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
inline bf16 rounded(float value) { return (bf16)_mm_extract_epi16((__m128i)_mm_cvtneps_pbh(_mm_set_ss(value)), 0); }

// Uninitialised memory, aligned to cache lines.
template <class T> struct Buffer {
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    long bytes;
    std::unique_ptr<T[], Free> at;
    explicit Buffer(long count) : bytes((count * sizeof(T) + 63) / 64 * 64), at((T*)std::aligned_alloc(64, bytes)) {}
    T* get() const { return at.get(); }
};

struct Maps {
    long images, height, width;
    long down() const { return (height + 1) / 2; }      // tiles in a column
    long across() const { return (width + 3) / 4 * 2; } // tiles in a row, in pairs: the last may lie outside the map
    long tiles() const { return images * down() * across(); }
    long pixel(long image, long row, long column) const { return (image * height + row) * width + column; }
};

struct Strides {
    long k, c, row, column;
};

// Calls body(tile - from, image, row, first column, count) for the tiles [from, to); neighbours in a row are one call.
template <class Body> inline void stretches(const Maps& maps, long from, long to, Body body) {
    for (long tile = from; tile < to;) {
        long line = tile / maps.across(), tx = tile % maps.across();
        long count = std::min(to - tile, maps.across() - tx);
        body(tile - from, line / maps.down(), 2 * (line % maps.down()), 2 * tx, count);
        tile += count;
    }
}

// Computes V of the tiles [from, to), two tiles at a time: put(point, tile, channel, value of this tile, of the next).
template <class Put> inline void patches(const Maps& maps, const bf16* x, long channels, long from, long to, Put put) {
    stretches(maps, from, to, [&](long tile, long image, long row, long column, long count) {
        const bf16* lines[4];
        for (long i = 0; i < 4; i++) {
            long y = row - 1 + i;
            lines[i] = y < 0 || y >= maps.height ? nullptr : x + maps.pixel(image, y, 0) * channels;
        }
        for (long c = 0; c < channels; c += LANES) {
            Floats p[6][4]; // B^T d: the patches of two tiles cover six columns, two of them shared with the next pair
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

// Computes S of the tiles [from, to); `put` as in `patches`.
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

// m[point][tile][k] = sum over c of V[point][tile][c] U[point][c][k], for Q points, T tiles and V vectors of k at a time:
// Q*T*V sums stay in registers. With Q = 4, a row of points, it also applies the right factor of A^T m A, which halves
// what is stored: m is then [row, column of m A][tile][k]. C: c_in as a compile-time constant, or 0.
template <int Q, int T, int V, int C> void product(const bf16* v, const bf16* u, float* m, long channels, long c_out) {
    const long c_in = C ? C : channels; // as a constant, its multiples need no registers
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

// The products of all points. V: [point][tile / 2][c / 16][tile % 2][16]; U: [point][c / 2][k][2].
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

// Writes y = A^T m A of the tiles [from, to). `halved`: `product` has multiplied by A already.
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

// Computes U of the weights w[k][c]; transposed: of the rotated weights for the input's gradient.
void transform(const float* w, bf16* u, long c_in, long c_out, Strides at, bool transposed, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (long pair = 0; pair < c_in / 2; pair++) // pairs, so that no two threads write into one 32-bit word
        for (long c = 2 * pair; c < 2 * pair + 2; c++)
            for (long k = 0; k < c_out; k++) {
                auto expand = [](float a, float b, float c, float* to) { // G
                    to[0] = a, to[1] = 0.5f * (a + b + c), to[2] = 0.5f * (a - b + c), to[3] = c;
                };
                auto tap = [&](long r, long q) {
                    return transposed ? w[c * at.k + k * at.c + (2 - r) * at.row + (2 - q) * at.column]
                                      : w[k * at.k + c * at.c + r * at.row + q * at.column];
                };
                float columns[3][4], points[4];
                for (int q = 0; q < 3; q++) expand(tap(0, q), tap(1, q), tap(2, q), columns[q]);
                for (int r = 0; r < 4; r++) {
                    expand(columns[0][r], columns[1][r], columns[2][r], points);
                    for (int q = 0; q < 4; q++)
                        u[(((4 * r + q) * (c_in / 2) + pair) * c_out + k) * 2 + c % 2] = rounded(points[q]);
                }
            }
}

// M[c][k] += sum over tiles of V[tile][c] S[tile][k] of one point, both stored as [tile / 2][channel][2]; C channels and V
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

// Stores two tiles of 16 channels interleaved: [channel][tile].
inline void store_paired(bf16* to, Floats first, Floats second) {
    alignas(64) static constexpr uint16_t ORDER[] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                     8,  24, 9,  25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    _mm512_store_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(ORDER), both(first, second)));
}

// dw[k][c] = G^T M G of 16 values of k; M is the sum of the parts, added in order.
void taps(const float* sums, long parts, long size, float* dw, long c, long k, long c_in, long c_out, Strides at) {
    auto contract = [](Floats a, Floats b, Floats c, Floats d, Floats* to) { // G^T
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
    for (int q = 0; q < 4; q++) contract(m[0][q], m[1][q], m[2][q], m[3][q], columns[q]);
    for (int r = 0; r < 3; r++) {
        contract(columns[0][r], columns[1][r], columns[2][r], columns[3][r], row);
        for (int q = 0; q < 3; q++)
            for (long i = 0; i < LANES; i++) dw[(k + i) * at.k + c * at.c + r * at.row + q * at.column] = row[q][i];
    }
}

} // namespace

// y[images][height][width][c_out]; w by its strides, [c_out][c_in] or, transposed, [c_in][c_out].
extern "C" void convolve(const bf16* x, const float* w, bf16* y, long images, long height, long width, long c_in, long c_out,
                         long k, long c, long row, long column, int transposed, int threads) {
    Maps maps{images, height, width};
    Buffer<bf16> u(POINTS * c_in * c_out);
    transform(w, u.get(), c_in, c_out, {k, c, row, column}, transposed, threads);
#pragma omp parallel num_threads(threads)
    {
        Buffer<bf16> v(POINTS * TILES * c_in);
        Buffer<float> m(POINTS * TILES * c_out);
#pragma omp for schedule(static)
        for (long from = 0; from < maps.tiles(); from += TILES) {
            long to = std::min(maps.tiles(), from + TILES);
            patches(maps, x, c_in, from, to, [&](long point, long tile, long c, Floats first, Floats second) {
                _mm512_store_si512(v.get() + (point * TILES + tile) * c_in + 2 * c, both(first, second));
            });
            if (c_out % 64 == 0) products<1, 6, 4>(v.get(), u.get(), m.get(), c_in, c_out);
            else if (c_out % 32 == 0) products<1, 12, 2>(v.get(), u.get(), m.get(), c_in, c_out);
            else products<4, 6, 1>(v.get(), u.get(), m.get(), c_in, c_out);
            (c_out % 32 ? outputs<true> : outputs<false>)(maps, m.get(), y, c_out, from, to);
        }
    }
}

// dw[c_out][c_in], fp32, by its strides.
extern "C" void weight_gradient(const bf16* x, const bf16* dy, float* dw, long images, long height, long width, long c_in,
                                long c_out, long k, long c, long row, long column, int threads) {
    Maps maps{images, height, width};
    long size = POINTS * c_in * c_out, parts = std::min(PARTS, images), each = maps.tiles() / images;
    Buffer<float> sums(parts * size);
#pragma omp parallel num_threads(threads)
    {
        Buffer<bf16> v(POINTS * TILES * c_in), s(POINTS * TILES * c_out);
#pragma omp for schedule(static)
        for (long part = 0; part < parts; part++) {
            float* part_sums = sums.get() + part * size;
            std::memset(part_sums, 0, size * sizeof(float));
            long last = images * (part + 1) / parts * each;
            for (long from = images * part / parts * each; from < last; from += TILES) {
                long to = std::min(last, from + TILES), pairs = (to - from) / 2;
                patches(maps, x, c_in, from, to, [&](long point, long tile, long c, Floats first, Floats second) {
                    store_paired(v.get() + (point * TILES + tile) * c_in + 2 * c, first, second);
                });
                gradients(maps, dy, c_out, from, to, [&](long point, long tile, long k, Floats first, Floats second) {
                    store_paired(s.get() + (point * TILES + tile) * c_out + 2 * k, first, second);
                });
                for (long point = 0; point < POINTS; point++) {
                    const bf16 *a = v.get() + point * TILES * c_in, *b = s.get() + point * TILES * c_out;
                    float* m = part_sums + point * c_in * c_out;
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
