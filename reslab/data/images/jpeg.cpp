// Decode a part of a JPEG with libjpeg-turbo. Rows below the part are not read. Rows above it and columns beside it are
// entropy-decoded, since the code is sequential, but not transformed (`jpeg_skip_scanlines`, `jpeg_crop_scanline`).
//
// What it handles: YCbCr images, baseline or progressive, at 1, 1/2, 1/4 or 1/8 of their size. Other colours (grey, CMYK,
// RGB), files with warnings and any error return a nonzero value, and Pillow decodes the whole image: these cases are
// rare in data sets of photographs, and their rules (Adobe's marker, repair of damage) exist once only, in Pillow.
//
// Which library: the one that Pillow has loaded, so that the pixels equal Pillow's bit for bit. Its functions are looked up
// by name, so no headers are needed. The structs below are the public interface of libjpeg 6b (version 62) on 64-bit
// systems; only the fields that are used have a name. The library checks version and size, and `use` refuses any other.

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
    int components, file_colours, colours;  // colour spaces of the file and of the output
    uint32_t scale, scale_of;               // decode at scale / scale_of of the size
    double gamma;
    int settings[12];
    uint32_t output_width, output_height;  // at that size
    char rest[1024];
};

constexpr int VERSION = 62, RGB = 2, YCC = 3;
constexpr uint32_t MARGIN = 4;  // columns beside the part: chroma is interpolated from neighbours across its border

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

template <class F> bool look_up(void* library, F*& function, const char* name) {
    function = reinterpret_cast<F*>(dlsym(library, name));
    return function != nullptr;
}

// The library's default handlers would print, and end the process.
void on_error(Decompress* image) { std::longjmp(image->errors->back, 1); }
void on_message(Decompress* image, int level) { image->errors->warnings += level < 0; }
void print_nothing(Decompress*) {}

void prepare(Decompress* image, Errors* errors) {
    std::memset(image, 0, sizeof *image);
    std::memset(errors, 0, sizeof *errors);
    image->errors = default_errors(errors);
    errors->exit = on_error;
    errors->emit = on_message;
    errors->output = print_nothing;
}

}  // namespace

// Returns 1 if the library at `path`, or one that it is linked with, has the functions and this version, otherwise 0.
extern "C" int use(const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    bool is_complete = library && look_up(library, default_errors, "jpeg_std_error") &&
                 look_up(library, create, "jpeg_CreateDecompress") && look_up(library, destroy, "jpeg_destroy_decompress") &&
                 look_up(library, read_from, "jpeg_mem_src") && look_up(library, read_header, "jpeg_read_header") &&
                 look_up(library, start, "jpeg_start_decompress") && look_up(library, read_rows, "jpeg_read_scanlines") &&
                 look_up(library, skip_rows, "jpeg_skip_scanlines") && look_up(library, crop_columns, "jpeg_crop_scanline");
    if (!is_complete || sizeof(void*) != 8) return 0;
    Decompress image;
    Errors errors;
    prepare(&image, &errors);
    if (setjmp(errors.back) == 0) create(&image, VERSION, 1);  // fails because of the size 1, and reports the right one
    size = errors.parameters[0];
    if (size < offsetof(Decompress, rest) || size > sizeof(Decompress)) return 0;
    prepare(&image, &errors);
    if (setjmp(errors.back)) return 0;  // another version
    create(&image, VERSION, size);
    destroy(&image);
    return 1;
}

// Decodes columns left..right and rows top..bottom of the image at 1/fraction of its size, which is then width x height,
// into out: [bottom - top, right - left, 3]. line: a buffer of 3 * (width + 64) bytes, since the library rounds columns up
// to whole blocks. Returns 0, or nonzero if Pillow must decode the image.
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
    bool is_supported = image.file_colours == YCC;
    if (is_supported) {
        image.colours = RGB;
        image.scale = 1;
        image.scale_of = fraction;
        start(&image);
        is_supported = image.output_width == width && image.output_height == height;
    }
    if (is_supported) {
        uint32_t from = left > MARGIN ? left - MARGIN : 0, to = right + MARGIN < width ? right + MARGIN : width;
        uint32_t columns = to - from;
        crop_columns(&image, &from, &columns);  // moves both outwards to the borders of blocks
        if (top) skip_rows(&image, top);
        for (uint32_t row = top; row < bottom; ++row, out += 3 * (right - left)) {
            read_rows(&image, &line, 1);
            std::memcpy(out, line + 3 * (left - from), 3 * (right - left));
        }
    }
    destroy(&image);
    return !is_supported || errors.warnings;
}
