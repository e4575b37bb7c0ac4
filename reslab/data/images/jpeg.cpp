// Part of a JPEG decoded by libjpeg-turbo: rows below the part are not read, rows above it and columns beside it are only
// read past (`jpeg_skip_scanlines`, `jpeg_crop_scanline`). The library is the one that Pillow calls, so that pixels are
// equal to Pillow's; its functions are found by name and need no headers. Of its structs, only what is used here has a
// name: the public interface of libjpeg 6b (version 62) on 64-bit systems. The library tells their size and checks it.

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <dlfcn.h>

namespace {

struct Decompress;

struct Errors {
    void (*exit)(Decompress*);
    void (*emit)(Decompress*, int level);
    void (*output)(Decompress*);
    void (*format)(Decompress*, char*);
    void (*reset)(Decompress*);
    int code;
    int parameters[20];
    int trace_level;
    long warnings;
    char rest[256];
    std::jmp_buf back;
};

struct Decompress {
    Errors* errors;
    void *memory, *progress, *client;
    int is_decompressor, state;
    void* source;
    uint32_t width, height;
    int components, stored_colours, colours;
    uint32_t scale, scale_of;
    double gamma;
    int settings[12];
    uint32_t shown_width, shown_height;  // after the scale
    char rest[1024];
};

constexpr int VERSION = 62, RGB = 2, YCC = 3;
constexpr uint32_t MARGIN = 4;  // columns beside the part: its border is then smoothed with its true neighbours

Errors* (*default_errors)(Errors*);
void (*create)(Decompress*, int, size_t);
void (*destroy)(Decompress*);
void (*read_from)(Decompress*, const uint8_t*, unsigned long);
int (*read_header)(Decompress*, int);
int (*start)(Decompress*);
uint32_t (*read_rows)(Decompress*, uint8_t**, uint32_t);
uint32_t (*skip_rows)(Decompress*, uint32_t);
void (*crop_columns)(Decompress*, uint32_t*, uint32_t*);
size_t size = 0;  // of the library's own struct

template <class F> bool found(void* library, F*& function, const char* name) {
    function = reinterpret_cast<F*>(dlsym(library, name));
    return function != nullptr;
}

void leave(Decompress* image) { std::longjmp(image->errors->back, 1); }
void count(Decompress* image, int level) { image->errors->warnings += level < 0; }
void silent(Decompress*) {}

void prepare(Decompress* image, Errors* errors) {
    std::memset(image, 0, sizeof *image);
    std::memset(errors, 0, sizeof *errors);
    image->errors = default_errors(errors);
    errors->exit = leave;
    errors->emit = count;
    errors->output = silent;
}

}  // namespace

// 1 where the library at `path`, or one that it was linked with, has the functions and is of this version.
extern "C" int use(const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    bool whole = library && found(library, default_errors, "jpeg_std_error") &&
                 found(library, create, "jpeg_CreateDecompress") && found(library, destroy, "jpeg_destroy_decompress") &&
                 found(library, read_from, "jpeg_mem_src") && found(library, read_header, "jpeg_read_header") &&
                 found(library, start, "jpeg_start_decompress") && found(library, read_rows, "jpeg_read_scanlines") &&
                 found(library, skip_rows, "jpeg_skip_scanlines") && found(library, crop_columns, "jpeg_crop_scanline");
    if (!whole || sizeof(void*) != 8) return 0;
    Decompress image;
    Errors errors;
    prepare(&image, &errors);
    if (setjmp(errors.back) == 0) create(&image, VERSION, 1);  // refused, with the size that would be right
    size = errors.parameters[0];
    if (size < offsetof(Decompress, rest) || size > sizeof(Decompress)) return 0;
    prepare(&image, &errors);
    if (setjmp(errors.back)) return 0;  // another version
    create(&image, VERSION, size);
    destroy(&image);
    return 1;
}

// Columns left..right and rows top..bottom of the image at 1/fraction of its size, which is width x height then, into
// out: [bottom - top, right - left, 3]. line: room for 3 * (width + 64) bytes. 0, or what is not so that Pillow must do it.
extern "C" int decode(const uint8_t* file, unsigned long length, uint32_t fraction, uint32_t width, uint32_t height,
                      uint32_t left, uint32_t top, uint32_t right, uint32_t bottom, uint8_t* line, uint8_t* out) {
    Decompress image;
    Errors errors;
    prepare(&image, &errors);
    if (setjmp(errors.back)) {
        destroy(&image);
        return 1;
    }
    create(&image, VERSION, size);
    read_from(&image, file, length);
    read_header(&image, 1);
    bool usual = image.stored_colours == YCC;
    if (usual) {
        image.colours = RGB;
        image.scale = 1;
        image.scale_of = fraction;
        start(&image);
        usual = image.shown_width == width && image.shown_height == height;
    }
    if (usual) {
        uint32_t from = left > MARGIN ? left - MARGIN : 0, to = right + MARGIN < width ? right + MARGIN : width;
        uint32_t columns = to - from;
        crop_columns(&image, &from, &columns);  // both are moved outwards to the borders of blocks
        if (top) skip_rows(&image, top);
        for (uint32_t row = top; row < bottom; ++row, out += 3 * (right - left)) {
            read_rows(&image, &line, 1);
            std::memcpy(out, line + 3 * (left - from), 3 * (right - left));
        }
    }
    destroy(&image);
    return !usual || errors.warnings;
}
