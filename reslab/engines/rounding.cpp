// Rounding of a map to 8 bits: q = round(x / step) + zero, limited to 0..255; NaN becomes 0. One pass over memory, where
// torch's operators need four. Halves are rounded to even, as torch.round does.
//
// Compiled by int8.py; the reference in the tests is torch's own arithmetic (tests/engines/test_int8.py).

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

inline float number(float value) { return value; }
inline float number(uint16_t half) { // bf16: the upper half of an fp32 number
    uint32_t bits = (uint32_t)half << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

template <typename T> void round_to_bytes(const T* x, uint8_t* q, long count, float inverse, float zero, int threads) {
#pragma omp parallel for simd num_threads(threads) if (count > 65536)
    for (long i = 0; i < count; i++) {
        float value = std::nearbyintf(number(x[i]) * inverse) + zero;
        value = value > 0.0f ? value : 0.0f;
        q[i] = (uint8_t)(int32_t)(value < 255.0f ? value : 255.0f);
    }
}

} // namespace

extern "C" void round_fp32(const float* x, uint8_t* q, long count, float inverse, float zero, int threads) {
    round_to_bytes(x, q, count, inverse, zero, threads);
}
extern "C" void round_bf16(const uint16_t* x, uint8_t* q, long count, float inverse, float zero, int threads) {
    round_to_bytes(x, q, count, inverse, zero, threads);
}
