// The compiled kernel: glimpses straight from the images, nothing prepared.
//
// Scale s is made of the one inside it: pixels are added two by two, then those sums, and so on,
// row after row, so that all but the image stays in the nearest cache. Sums of bytes are 16 bits
// wide and added 32 at a time; the vector types are those of GCC and Clang, for any processor.
// What does not nest (odd sizes of several scales, other factors, cells over 16 x 16) is added
// up scale by scale.
//
// Built and called by compiled.py. No C++ object crosses the border.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

typedef uint16_t u16x32 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x16 __attribute__((vector_size(64)));

template <class V>
inline V load(const void* from) {
    V v;
    std::memcpy(&v, from, sizeof(V));
    return v;
}

template <class V>
inline void store(void* to, V v) {
    std::memcpy(to, &v, sizeof(V));
}

// Divides whole numbers below 2**24 by the area of a cell, rounded once. Where the machine has a
// fused product and sum the inverse comes in two parts, right to 2**-47: no quotient by 255 * 4**s
// lies as near to the middle between two floats.
struct Division {
    float area, high, low;
    Division() = default;
    explicit Division(float a)
        : area(a), high(1 / a), low((float)((1 - (double)a * (double)high) / (double)a)) {}

    void operator()(f32x8 whole, float* means) const {
#ifdef FP_FAST_FMAF
        const f32x8 rest = whole * low;
        for (int i = 0; i < 8; i++) means[i] = __builtin_fmaf(whole[i], high, rest[i]);
#else
        store(means, whole / area);
#endif
    }
};

// What differs between bytes and floats. A block is 64 bytes of a row of pixels.
template <class Pixel>
struct Kind;

template <>
struct Kind<uint8_t> {
    typedef uint16_t Sum;
    static constexpr int64_t block = 64;

    // The sums of 2 x 2 pixels of a block of two rows.
    static void pool_pixels(const uint8_t* a, const uint8_t* b, Sum* out) {
        const u16x32 p = load<u16x32>(a), q = load<u16x32>(b);
        store(out, (p & 255) + (p >> 8) + (q & 255) + (q >> 8));
    }

    // The sums of 2 x 2 sums of two rows of 32: 16 of them.
    static void pool_sums(const Sum* a, const Sum* b, Sum* out) {
        const u32x16 p = load<u32x16>(a), q = load<u32x16>(b);
        const u32x16 sums = (p & 65535) + (p >> 16) + (q & 65535) + (q >> 16);
        store(out, __builtin_convertvector(sums, u16x16));
    }

    // 8 means: whole numbers below 2**24 divided, and rounded once.
    static void mean(const Sum* sums, const Division& area, float* means) {
        divide(load<u16x8>(sums), area, means);
    }
    static void mean(const uint8_t* pixels, const uint8_t* keep, const Division& area, float* means) {
        mean(load<uint64_t>(pixels) & load<uint64_t>(keep), area, means);
    }
    static void mean(const uint8_t* pixels, const Division& area, float* means) {
        mean(load<uint64_t>(pixels), area, means);
    }
    static void mean(uint64_t pixels, const Division& area, float* means) {
        const u64x2 some = {pixels, 0};
        const u16x16 wide = __builtin_convertvector((u8x16)some, u16x16);
        divide(load<u16x8>(&wide), area, means);
    }
    static void divide(u16x8 sums, const Division& area, float* means) {
        const i32x8 wide = __builtin_convertvector(sums, i32x8);
        area(__builtin_convertvector(wide, f32x8), means);
    }
    static constexpr float full = 255;
};

template <>
struct Kind<float> {
    typedef float Sum;
    static constexpr int64_t block = 16;

    static void pool_pixels(const float* a, const float* b, Sum* out) {
        store(out, add_neighbors(load<f32x16>(a) + load<f32x16>(b)));
    }

    static void pool_sums(const Sum* a, const Sum* b, Sum* out) {
        store(out, add_neighbors(load<f32x16>(a) + load<f32x16>(b)));
        store(out + 8, add_neighbors(load<f32x16>(a + 16) + load<f32x16>(b + 16)));
    }

    static f32x8 add_neighbors(f32x16 v) {
#if __has_builtin(__builtin_shufflevector)
        return __builtin_shufflevector(v, v, 0, 2, 4, 6, 8, 10, 12, 14) +
               __builtin_shufflevector(v, v, 1, 3, 5, 7, 9, 11, 13, 15);
#else
        f32x8 sums;
        for (int i = 0; i < 8; i++) sums[i] = v[2 * i] + v[2 * i + 1];
        return sums;
#endif
    }

    static void mean(const Sum* sums, const Division& area, float* means) {
        store(means, load<f32x8>(sums) / area.area);
    }
    static void mean(const float* pixels, const float* keep, const Division&, float* means) {
        store(means, load<u32x8>(pixels) & load<u32x8>(keep));
    }
    static constexpr float full = 1;
};

struct Work {
    const void* images;
    int64_t count, channels, height, width;
    const void* locations;
    int64_t wide;  // whether locations are double
    const int64_t* index;
    int64_t size, scales, factor;
    float* out;
};

// First pixel of a window of n pixels; the order of operations is that of geometry.py.
int64_t window_start(double location, int64_t length, int64_t n) {
    const double center = (location + 1) / 2 * (double)length;
    const double start = std::floor(center - (double)n / 2 + 0.5);
    if (!(start <= (double)length)) return length;  // NaN too: outside
    return start < (double)-n ? -n : (int64_t)start;
}

// One glimpse after the other.
template <class Pixel>
class Eye {
  protected:
    const Work& w;
    const int64_t g, pixels_in_image;
    const Pixel *begin, *end;  // of the images

    explicit Eye(const Work& work)
        : w(work), g(work.size), pixels_in_image(work.height * work.width) {
        begin = static_cast<const Pixel*>(w.images);
        end = begin + w.count * w.channels * pixels_in_image;
    }

    // Where a window of n pixels starts, and its part inside the image.
    struct Window {
        int64_t x, y, left, right, high, low;
        bool empty() const { return left >= right || high >= low; }
    };

    Window window(int64_t glimpse, int64_t n) const {
        double x, y;
        if (w.wide) {
            x = static_cast<const double*>(w.locations)[2 * glimpse];
            y = static_cast<const double*>(w.locations)[2 * glimpse + 1];
        } else {
            x = static_cast<const float*>(w.locations)[2 * glimpse];
            y = static_cast<const float*>(w.locations)[2 * glimpse + 1];
        }
        Window v;
        v.x = window_start(x, w.width, n), v.y = window_start(y, w.height, n);
        v.left = v.x < 0 ? -v.x : 0, v.right = v.x + n > w.width ? w.width - v.x : n;
        v.high = v.y < 0 ? -v.y : 0, v.low = v.y + n > w.height ? w.height - v.y : n;
        return v;
    }

    const Pixel* image(int64_t glimpse) const {
        return begin + (w.index ? w.index[glimpse] : glimpse) * w.channels * pixels_in_image;
    }
};

// Bytes of up to 16 x 16 pixels in a cell, or floats, at factor 2 and even g; or one scale.
template <class Pixel>
class Nested : Eye<Pixel> {
    typedef Kind<Pixel> K;
    typedef typename K::Sum Sum;
    typedef Eye<Pixel> E;
    using E::g, E::w;
    static constexpr int64_t max_levels = 5, together = 8, soon = 32;

    const int64_t levels, side, edge;  // the finest window starts at `edge` in the widest
    std::vector<unsigned char> ramp;
    const int64_t pitch;
    std::vector<Pixel> keep, band;
    std::vector<Sum> sums[max_levels][2];  // by level, of an even and an odd row
    Division area[max_levels];  // of a cell, times what a full pixel is worth
    typename E::Window v;
    int64_t left = -1, right = -1;  // the columns that `keep` is for
    int64_t first, last;  // blocks to read of each row: those with pixels of the image
    bool safe;
    const Pixel* plane;
    float* out;

    // Copies rows of the window, whole blocks of them; what lies outside the image becomes zero.
    void copy(int64_t top, int64_t lines) {
        for (int64_t line = 0; line < lines; line++) {
            Pixel* const to = band.data() + line * pitch;
            const int64_t y = v.y + top + line;
            const Pixel* const from = plane + (y * w.width + v.x);
            if (y < 0 || y >= w.height) {
                std::memset(to, 0, pitch * sizeof(Pixel));
            } else if (safe) {
                for (int64_t i = first * K::block; i < last * K::block; i += K::block)
                    store(to + i, load<u32x16>(from + i) & load<u32x16>(keep.data() + i));
            } else {
                std::memcpy(to + v.left, from + v.left, (v.right - v.left) * sizeof(Pixel));
            }
        }
    }

    // Writes row r of a scale. What is written beyond it is written again with the next row.
    template <class Means>
    void put(int64_t level, int64_t r, Means means) {
        const int64_t n = g;
        float* const to = out + level * w.channels * n * n + r * n;
        for (int64_t i = 0; i < n; i += together) {
            if (i + together <= (n - r) * n) {
                means(i, to + i);
            } else {
                float some[together];
                means(i, some);
                std::memcpy(to + i, some, std::min(n - i, together) * sizeof(float));
            }
        }
    }

    void put_pixels(const Pixel* line, int64_t r) {
        const Pixel* pixels = line + edge;
        const Division part = area[0];
        put(0, r, [=](int64_t i, float* to) { K::mean(pixels + i, part, to); });
    }

    void put_sums(const Sum* line, int64_t level, int64_t r) {
        const Division part = area[level];
        put(level, r, [=](int64_t i, float* to) { K::mean(line + i, part, to); });
    }

    void put_zeros(int64_t level, int64_t r) {
        if (!shown(r)) return;
        std::memset(out + level * w.channels * g * g + r * g, 0, g * sizeof(float));
    }

    // Whether row r is one of a scale's.
    bool shown(int64_t r) const { return r >= 0 && r < g; }

    void pool_pixels(const Pixel* a, const Pixel* b, Sum* to) const {
        for (int64_t i = first * K::block; i < last * K::block; i += K::block)
            K::pool_pixels(a + i, b + i, to + i / 2);
    }

    // From one level to the next.
    void pool_sums(int64_t level, Sum* to) const {
        const Sum *a = sums[level][0].data(), *b = sums[level][1].data();
        const int64_t start = (first * K::block >> level) & ~(int64_t)31;
        const int64_t stop = last * K::block >> level;
        for (int64_t i = start; i < stop; i += 32) K::pool_sums(a + i, b + i, to + i / 2);
    }

    // Asks for a row of a window, so that it is at hand when its turn comes.
    static void fetch_row(const Pixel* row, const typename E::Window& v) {
        const char* here = (const char*)(row + v.left);
        const char* last = (const char*)(row + v.right) - 1;
        for (; here < last; here += 64) __builtin_prefetch(here, 0, 2);
        __builtin_prefetch(last, 0, 2);
    }

    // Asks for a glimpse's first rows.
    void fetch(int64_t glimpse, const typename E::Window& v) const {
        if (v.empty()) return;
        const Pixel* corner = this->image(glimpse) + v.x;
        for (int64_t c = 0; c < w.channels; c++, corner += this->pixels_in_image)
            for (int64_t line = v.high; line < std::min(v.high + soon, v.low); line++)
                fetch_row(corner + (v.y + line) * w.width, v);
    }

    // Asks for the memory that a glimpse is written to.
    void fetch_room(int64_t glimpse) const {
        const char* room = (const char*)(w.out + glimpse * numbers());
        for (const char* end = room + numbers() * sizeof(float); room < end; room += 64)
            __builtin_prefetch(room, 1, 3);
    }

    int64_t numbers() const { return w.scales * w.channels * g * g; }

    // One channel.
    void pool() {
        if (levels == 0) {
            const Division part = area[0];
            if (safe && g % together == 0) {
                const Pixel *line = plane + (v.y * w.width + v.x), *mask = keep.data();
                float* to = out;
                for (int64_t r = 0; r < g; r++, line += w.width, to += g) {
                    const bool inside = r >= v.high && r < v.low;
                    for (int64_t i = 0; i < g; i += together) {
                        if (inside)
                            K::mean(line + i, mask + i, part, to + i);
                        else
                            std::memset(to + i, 0, together * sizeof(float));
                    }
                }
                return;
            }
            for (int64_t r = 0; r < g; r++) {
                if (r < v.high || r >= v.low) {
                    put_zeros(0, r);
                } else if (safe) {
                    const Pixel *line = plane + ((v.y + r) * w.width + v.x), *mask = keep.data();
                    put(0, r, [=](int64_t i, float* to) { K::mean(line + i, mask + i, part, to); });
                } else {
                    copy(r, 1);
                    put_pixels(band.data(), r);
                }
            }
            return;
        }
        const int64_t lines = (int64_t)1 << levels;  // of pixels, to a row of the widest scale
        for (int64_t top = 0; top < side; top += lines) {
            if (top + lines <= v.high || top >= v.low) {
                for (int64_t level = 0; level <= levels; level++)
                    for (int64_t j = top >> level; j < (top + lines) >> level; j++)
                        put_zeros(level, j - ((side >> level) - g) / 2);
                continue;
            }
            copy(top, lines);
            const Pixel* a = band.data();
            for (int64_t line = top + soon; line < std::min(top + soon + lines, v.low); line++)
                fetch_row(plane + (v.y + line) * w.width + v.x, v);
            for (int64_t line = top; line < top + lines; line += 2, a += 2 * pitch) {
                if (shown(line - edge)) put_pixels(a, line - edge);
                const Pixel* b = a + pitch;
                if (shown(line + 1 - edge)) put_pixels(b, line + 1 - edge);
                int64_t level = 1, j = line / 2;
                pool_pixels(a, b, sums[1][j & 1].data());
                for (;; level++, j /= 2) {
                    const Sum* made = sums[level][j & 1].data();
                    const int64_t middle = ((side >> level) - g) / 2;
                    if (shown(j - middle)) put_sums(made + middle, level, j - middle);
                    if (level == levels || !(j & 1)) break;
                    pool_sums(level, sums[level + 1][j / 2 & 1].data());
                }
            }
        }
    }

  public:
    static bool serves(const Work& w) {
        if (w.scales == 1) return true;
        return w.factor == 2 && w.scales <= max_levels && w.size % 2 == 0;
    }

    explicit Nested(const Work& work)
        : E(work),
          levels(work.scales - 1),
          side(work.size << (work.scales - 1)),
          edge(((work.size << (work.scales - 1)) - work.size) / 2),
          pitch(((work.size << (work.scales - 1)) + 2 * K::block + 63) & ~(int64_t)63) {
        const int64_t length = side + 2 * K::block + 64;
        band.resize(pitch << levels);
        keep.resize(length);
        ramp.resize((3 * side + 64) * sizeof(Pixel));
        std::fill_n(ramp.begin() + side * sizeof(Pixel), side * sizeof(Pixel), 255);
        for (int64_t level = 0; level <= levels; level++) {
            area[level] = Division(K::full * (float)((int64_t)1 << 2 * level));
            for (auto& line : sums[level]) line.resize(level ? length : 0);
        }
    }

    void look(int64_t from, int64_t to) {
        const int64_t ahead = side * side * w.channels < 4096 ? 8 : 1;  // glimpses
        for (int64_t n = from; n < to; n++) {
            if (n + ahead < to) {
                fetch(n + ahead, this->window(n + ahead, side));
                if (numbers() < 4096) fetch_room(n + ahead);
            }
            v = this->window(n, side);
            look(n);
        }
    }

  private:
    void look(int64_t glimpse) {
        float* const scales = w.out + glimpse * numbers();
        if (v.empty()) {
            std::memset(scales, 0, numbers() * sizeof(float));
            return;
        }
        first = v.left / K::block;
        last = (v.right + K::block - 1) / K::block;
        if (v.left != left || v.right != right) {
            left = v.left, right = v.right;
            // Those of the window's columns in the image: `ramp` is as many zeros, ones and zeros.
            const unsigned char* from = ramp.data() + (side - v.left) * sizeof(Pixel);
            const unsigned char* to = ramp.data() + (2 * side - v.right) * sizeof(Pixel);
            for (int64_t i = 0; i < side * (int64_t)sizeof(Pixel); i += 32)
                store((unsigned char*)keep.data() + i, load<u8x32>(from + i) & load<u8x32>(to + i));
        }
        if (first > 0 || last * K::block < side)  // no sums are written beside the image's blocks
            for (auto& level : sums)
                for (auto& line : level) std::fill(line.begin(), line.end(), Sum(0));
        // Reads go on beyond the row to the end of a block, but must not beyond the images.
        const Pixel* image = this->image(glimpse);
        const int64_t behind = edge + (g + together - 1) / together * together;
        const int64_t near = levels && first * K::block < edge ? first * K::block : edge;
        const int64_t stop = levels && last * K::block > behind ? last * K::block : behind;
        const int64_t low = (v.y + v.high) * w.width + v.x + near;
        const int64_t high = (w.channels - 1) * this->pixels_in_image +
                             (v.y + v.low - 1) * w.width + v.x + stop;
        safe = image - this->begin + low >= 0 && high <= this->end - image;
        if (!safe || first > 0 || last * K::block < side)
            std::fill(band.begin(), band.end(), Pixel(0));
        for (int64_t c = 0; c < w.channels; c++) {
            plane = image + c * this->pixels_in_image;
            out = scales + c * g * g;
            pool();
        }
    }
};

// Any factor, size and number of scales, each on its own.
template <class Pixel>
class Plain : Eye<Pixel> {
    typedef Eye<Pixel> E;
    using E::g, E::w;
    typedef typename std::conditional<sizeof(Pixel) == 1, uint32_t, double>::type Sum;
    std::vector<Sum> columns;

  public:
    explicit Plain(const Work& work) : E(work) {
        int64_t side = g;
        for (int64_t s = 1; s < w.scales; s++) side *= w.factor;
        columns.resize(side);
    }

    void look(int64_t from, int64_t to) {
        for (; from < to; from++) look(from);
    }

  private:
    void look(int64_t glimpse) {
        float* out = w.out + glimpse * w.scales * w.channels * g * g;
        int64_t cell = 1;
        for (int64_t s = 0; s < w.scales; s++, cell *= w.factor) {
            const typename E::Window v = this->window(glimpse, g * cell);
            const double area = (double)(cell * cell) * (sizeof(Pixel) == 1 ? 255 : 1);
            for (int64_t c = 0; c < w.channels; c++, out += g * g) {
                const Pixel* plane = this->image(glimpse) + c * this->pixels_in_image;
                for (int64_t r = 0; r < g; r++) {
                    const int64_t top = r * cell > v.high ? r * cell : v.high;
                    const int64_t stop = (r + 1) * cell < v.low ? (r + 1) * cell : v.low;
                    if (v.left >= v.right || top >= stop) {
                        std::memset(out + r * g, 0, g * sizeof(float));
                        continue;
                    }
                    std::fill(columns.begin(), columns.begin() + g * cell, Sum(0));
                    for (int64_t line = top; line < stop; line++) {
                        const Pixel* here = plane + ((v.y + line) * w.width + v.x);
                        for (int64_t x = v.left; x < v.right; x++) columns[x] += here[x];
                    }
                    for (int64_t i = 0; i < g; i++) {
                        Sum sum = 0;
                        for (int64_t x = i * cell; x < (i + 1) * cell; x++) sum += columns[x];
                        out[r * g + i] = (float)((double)sum / area);
                    }
                }
            }
        }
    }
};

template <class Way>
void look_at(const Work& work, int64_t glimpses, int64_t threads) {
    const auto some = [&work](int64_t from, int64_t to) {
        Way way(work);
        way.look(from, to);
    };
    std::vector<std::thread> others;
    const int64_t share = (glimpses + threads - 1) / threads;
    for (int64_t from = share; from < glimpses; from += share) {
        const int64_t to = std::min(from + share, glimpses);
        try {
            others.emplace_back(some, from, to);
        } catch (const std::system_error&) {  // no more threads to be had
            some(from, to);
        }
    }
    some(0, std::min(share, glimpses));
    for (auto& other : others) other.join();
}

template <class Pixel>
void look_at_all(const Work& work, int64_t glimpses, int64_t threads) {
    if (Nested<Pixel>::serves(work))
        look_at<Nested<Pixel>>(work, glimpses, threads);
    else
        look_at<Plain<Pixel>>(work, glimpses, threads);
}

}  // namespace

// Returns 0; or, before anything is written, 1 + the first glimpse whose index names no image.
extern "C" int64_t saccade_look(const void* images, int64_t bytes, int64_t count,
                                int64_t channels, int64_t height, int64_t width,
                                const void* locations, int64_t wide, const int64_t* index,
                                int64_t glimpses, int64_t size, int64_t scales, int64_t factor,
                                int64_t threads, float* out) {
    for (int64_t n = 0; index && n < glimpses; n++)
        if (index[n] < 0 || index[n] >= count) return 1 + n;
    if (glimpses == 0 || count * channels == 0) return 0;
    const Work work = {images, count, channels, height, width, locations,
                       wide,   index, size,     scales, factor, out};
    if (bytes)
        look_at_all<uint8_t>(work, glimpses, threads);
    else
        look_at_all<float>(work, glimpses, threads);
    return 0;
}
