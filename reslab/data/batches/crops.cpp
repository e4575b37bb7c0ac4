// Crop, centre, scale and mirror a batch of images in one pass over their bytes (see crops.py).
//
// The arithmetic is that of numpy, in the same order ((x - mean) / scale in float), so that the bits are the same.
// Nothing is padded: pixels outside of the image are 0 after centring, because the mean image is padded with the image.
#include <cstdint>
#include <cstring>

namespace {

// Copies pixels from right to left. C: the channels as a compile-time constant, or 0.
template <long C>
void reverse(const float* from, float* into, long pixels, long channels) {
    const long values = C ? C : channels;
    for (long x = 0; x < pixels; ++x)
        std::memcpy(into + x * values, from + (pixels - 1 - x) * values, sizeof(float) * values);
}

// Computes one row of a crop: `pixels` pixels of `channels` values, from right to left if it is mirrored.
void row(const uint8_t* from, const float* mean, const float* scale, float* into, float* work, long pixels,
         long channels, bool mirrored) {
    float* __restrict straight = mirrored ? work : into;
    for (long i = 0; i < pixels * channels; ++i) straight[i] = (static_cast<float>(from[i]) - mean[i]) / scale[i];
    if (!mirrored) return;
    if (channels == 3) reverse<3>(work, into, pixels, channels);
    else reverse<0>(work, into, pixels, channels);
}

}  // namespace

// images uint8 [N, height, width, channels]; mean float [height, width, channels]; scale float [width * channels];
// rows, down, across int64 [count]: index of the image, and the crop's offset in pixels, -pad .. pad;
// mirrored uint8 [count]; out float [count, height, width, channels]; work float [width * channels].
extern "C" void crop(const uint8_t* images, const float* mean, const float* scale, const int64_t* rows,
                     const int64_t* down, const int64_t* across, const uint8_t* mirrored, long count, long height,
                     long width, long channels, float* out, float* work) {
    const long line = width * channels;
    for (long b = 0; b < count; ++b) {
        const uint8_t* image = images + rows[b] * height * line;
        const long left = across[b] > 0 ? across[b] : 0;                          // first column inside the image
        const long right = across[b] < 0 ? width + across[b] : width;             // column after the last
        const long pixels = right > left ? right - left : 0;
        const long before = mirrored[b] ? (across[b] > 0 ? across[b] : 0) : (across[b] < 0 ? -across[b] : 0);
        for (long y = 0; y < height; ++y) {
            float* into = out + (b * height + y) * line;
            const long at = y + down[b];
            if (at < 0 || at >= height || !pixels) {
                std::memset(into, 0, sizeof(float) * line);
                continue;
            }
            std::memset(into, 0, sizeof(float) * before * channels);
            row(image + at * line + left * channels, mean + at * line + left * channels, scale, into + before * channels,
                work, pixels, channels, mirrored[b]);
            const long after = before + pixels;
            std::memset(into + after * channels, 0, sizeof(float) * (width - after) * channels);
        }
    }
}
