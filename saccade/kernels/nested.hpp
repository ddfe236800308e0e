// Windows inside one another, read once: each scale is made of the one inside it.
//
// Pixels are added two by two, then those sums, and so on, row after row, so that all but the
// image stays in the nearest cache.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pooling.hpp"
#include "window.hpp"

namespace {

// Bytes of up to 16 x 16 pixels in a cell, or floats, at factor 2 and even g; or one scale.
template <class Pixel>
class Nested : Eye<Pixel> {
    typedef Kind<Pixel> K;
    typedef typename K::Sum Sum;
    typedef Eye<Pixel> E;
    using E::g, E::w;
    static constexpr int64_t max_levels = 5, together = 8, soon = 16;

    const int64_t levels, side, edge;  // the finest window starts at `edge` in the widest
    const bool far;  // whether a glimpse is too much memory to ask for ahead of its turn
    std::vector<unsigned char> ramp;
    const int64_t pitch;
    std::vector<Pixel> keep, band;
    std::vector<Sum> sums[max_levels][2];  // by level, of an even and an odd row
    Division area[max_levels];  // of a cell, times what a full pixel is worth
    typename E::Window v;
    int64_t left = -1, right = -1;  // the columns that `keep` is for
    int64_t first, last;  // blocks to read of each row: those with pixels of the image
    bool safe, whole;  // whether reading blocks stays in the images; whether all columns are inside
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
        if (far)
            for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(to + 8 * n + i, 1);
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

    // Meanwhile asks for two rows whose turn comes later, some blocks at a time: memory takes only so
    // many requests at once, and more of them would wait for each other, and the sums for them.
    void pool_pixels(const Pixel* a, const Pixel* b, const Pixel* later, Sum* to) const {
        constexpr int64_t one = K::block, four = 4 * one;  // loops that are unrolled: fewer stalls
        const int64_t stop = last * one, width = w.width;
        int64_t i = first * one;
        for (; i + four <= stop; i += four) {
            for (int64_t k = i; k < i + four; k += one) __builtin_prefetch(later + k);
            for (int64_t k = i; k < i + four; k += one) __builtin_prefetch(later + width + k);
            for (int64_t k = i; k < i + four; k += one) K::pool_pixels(a + k, b + k, to + k / 2);
        }
        for (; i < stop; i += one) {
            __builtin_prefetch(later + i);
            __builtin_prefetch(later + width + i);
            K::pool_pixels(a + i, b + i, to + i / 2);
        }
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
            // Lines that lie in the image are read where they are.
            const bool straight = whole && top >= v.high && top + lines <= v.low;
            if (!straight) copy(top, lines);
            const Pixel* a = straight ? plane + ((v.y + top) * w.width + v.x) : band.data();
            const int64_t step = straight ? w.width : pitch;
            for (int64_t line = top; line < top + lines; line += 2, a += 2 * step) {
                if (shown(line - edge)) put_pixels(a, line - edge);
                const Pixel* b = a + step;
                if (shown(line + 1 - edge)) put_pixels(b, line + 1 - edge);
                int64_t level = 1, j = line / 2;
                const int64_t later = v.y + std::min(line + soon, v.low - 1);
                pool_pixels(a, b, plane + later * w.width + v.x, sums[1][j & 1].data());
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
          far(numbers() >= 4096),
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
                if (!far) fetch_room(n + ahead);
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
        whole = safe && v.left == 0 && v.right == side;
        if (!safe || first > 0 || last * K::block < side)
            std::fill(band.begin(), band.end(), Pixel(0));
        for (int64_t c = 0; c < w.channels; c++) {
            plane = image + c * this->pixels_in_image;
            out = scales + c * g * g;
            pool();
        }
    }
};

}  // namespace
