// The compiled kernel: glimpses straight from the images, nothing prepared.
//
// Windows that nest are read once (nested.hpp); what does not nest (odd sizes of several scales,
// other factors, cells over 16 x 16) is added up scale by scale (plain.hpp).
//
// Built and called by compiled.py. No C++ object crosses the border.

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "nested.hpp"
#include "plain.hpp"
#include "window.hpp"

namespace {

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
