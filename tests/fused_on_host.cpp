// bigearth_xr/device/fused.cu for a compiler of the host: the threads of a block run one after the other, and blocks too.
//
// What CUDA brings is written out below; all else, arithmetic first of all, is the kernel's own source.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define DEVICE inline
#define EACH_THREAD(thread) for (int thread = 0; thread < THREADS; ++thread)
#define BARRIER
#define __restrict__

using std::max;
using std::min;

static struct {
    unsigned x, y, z;
} blockIdx;

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

static void store_16_bytes(std::uint64_t at, const unsigned (&word)[4])
{
    std::memcpy(reinterpret_cast<void *>(at), word, sizeof word);
}

template <typename T>
static T __ldg(const T *address)
{
    return *address;
}

static unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<std::uint64_t>(a) * b >> 32;
}

static void sincospif(float half_turns, float *sine, float *cosine)
{
    const double angle = half_turns * 3.14159265358979323846;
    *sine = static_cast<float>(std::sin(angle));
    *cosine = static_cast<float>(std::cos(angle));
}

static unsigned bits_of(float value)
{
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// To nearest, ties to even: the rounding that float64 has of its own, brought to the place of the last bit.
static unsigned half(float value)
{
    const unsigned sign = bits_of(value) >> 16 & 0x8000;
    if (std::isnan(value))
        return 0x7FFF;
    const double size = std::fabs(static_cast<double>(value));
    const int exponent = size < 0x1p-14 ? -14 : std::ilogb(std::min(size, 0x1p16));
    const double steps = std::nearbyint(std::ldexp(std::min(size, 0x1p16), 10 - exponent));
    const unsigned bits = static_cast<unsigned>(steps) + ((exponent + 14) << 10);
    return sign | std::min(bits, 0x7C00u);
}

static unsigned pair_of_halves(float low, float high)
{
    return half(low) | half(high) << 16;
}

#include "fused.cu"

namespace {

struct Launch {
    const Batch *batch;
    unsigned tiles, bands;
    int first, patches;
    float *shared;
};

template <int TAPS, typename Out, bool NOISE, bool MIX>
void run(const Launch &launch)
{
    for (blockIdx.z = 0; blockIdx.z < static_cast<unsigned>(launch.patches); ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < launch.bands; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < launch.tiles; ++blockIdx.x)
                transform_batch<TAPS, Out, NOISE, MIX>(*launch.batch, launch.shared, launch.first);
}

template <int TAPS, typename Out>
void choose(const Launch &launch, bool noise, bool mix)
{
    if (noise)
        mix ? run<TAPS, Out, true, true>(launch) : run<TAPS, Out, true, false>(launch);
    else
        mix ? run<TAPS, Out, false, true>(launch) : run<TAPS, Out, false, false>(launch);
}

template <int TAPS>
void choose(const Launch &launch, int out, bool noise, bool mix)
{
    if (out == 0)
        choose<TAPS, Float32>(launch, noise, mix);
    else if (out == 1)
        choose<TAPS, Float16>(launch, noise, mix);
    else
        choose<TAPS, BFloat16>(launch, noise, mix);
}

}  // namespace

// Takes what the kernel takes, after what a launch and its compilation are told. Shared memory starts out as NaN: what is
// read without having been staged shows. Returns whether no more of it was written than was asked for.
extern "C" int launch(int taps, int out, int noise, int mix, unsigned tiles, unsigned bands, int patches,
                      unsigned shared_bytes, const Band *of_bands, const Patch *of_patches, const Address *addresses,
                      int count, int size, Address seed, unsigned epoch, float noise_std, int varies, int tile_words,
                      Address target, int wide, int first)
{
    constexpr unsigned beyond = 1 << 16;
    std::vector<float> shared((shared_bytes + beyond) / sizeof(float), std::nanf(""));
    const std::vector<float> fresh = shared;
    const Batch batch = {of_bands,  of_patches, addresses,  count,  size, seed,   epoch,
                         noise_std, varies,     tile_words, target, static_cast<int>(bands), wide};
    const Launch launch = {&batch, tiles, bands, first, patches, shared.data()};
    if (taps == 1)
        choose<1>(launch, out, noise, mix);
    else if (taps == 2)
        choose<2>(launch, out, noise, mix);
    else
        choose<4>(launch, out, noise, mix);
    const std::size_t asked = shared_bytes / sizeof(float);
    return std::memcmp(shared.data() + asked, fresh.data() + asked, beyond) == 0;
}
