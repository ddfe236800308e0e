// Which pixels a glimpse reads: where its windows start, and what of them lies in the image.

#pragma once

#include <cmath>
#include <cstdint>

namespace {

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
    const double start = std::floor(n % 2 ? center : center + 0.5) - (double)(n / 2);
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

}  // namespace
