// Windows of any size, factor and number of scales, each read on its own.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "window.hpp"

namespace {

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

}  // namespace
