// Sums of 2 x 2 pixels or sums, and the means made of them, many at a time.
//
// Sums of bytes are 16 bits wide; the vector types are those of GCC and Clang, for any processor.

#pragma once

#include <cstdint>
#include <cstring>

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

}  // namespace
