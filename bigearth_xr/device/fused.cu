// A batch from stored pixels in one pass: each pixel is read once and written once.
//
// `bigearth_xr.ops.transform` is the specification; the steps below are numbered as there. Compiled without contraction
// to fused multiply-adds (--fmad=false), every operation is rounded as it is there.
//
// A block makes a tile of TILE_X × TILE_Y pixels of one band of one patch (of two, where patches are mixed):
//   place   finds the stored pixels that each column and row of the tile is made of;
//   stage   brings these to shared memory as float32, along their rows, so that reads are coalesced whichever way the
//           patch is turned;
//   write   makes 16 bytes of output at a time. A warp makes 32 columns by 4 or 8 rows: as rows in shared memory are an
//           odd number of words long, its lanes meet 32 different banks, be the patch turned or not.
//
// EACH_THREAD bounds what threads do between two barriers. Nothing but shared memory passes from one to the next, so that
// a compiler for the host runs the threads of a block one after the other.

#ifdef __CUDACC__
#define DEVICE __device__ __forceinline__
#define EACH_THREAD(thread) if (const int thread = threadIdx.x; true)
#define BARRIER __syncthreads()

DEVICE unsigned bits_of(float value)
{
    return __float_as_uint(value);
}
#endif

typedef unsigned long long Address;

constexpr int TILE_X = 128, TILE_Y = 32;
constexpr int LINE = TILE_X + TILE_Y;  // columns of a tile, then its rows
constexpr int LANES = 32, WARPS = 4, THREADS = LANES * WARPS;
constexpr int IN_FLIGHT = 64;  // bytes that a thread has asked for before it uses the first
constexpr int QUAD = 4;        // pixels that are read at once; a row of stored ones has a multiple of it

static_assert(TILE_X == LANES * WARPS, "each warp has its own columns");

// The records that `bigearth_xr.device.records` fills.

struct Band {
    unsigned source;  // row of the addresses
    unsigned offset;  // bytes
    int side;         // stored pixels
    unsigned floats;  // float32, else uint16
    int taps;         // 1, or as many as the kernel was compiled for
    unsigned noise_word;
    float subtract, factor;
    double coarseness;  // pixels of 10 m to a stored one
};

struct Patch {
    double start[2], extent[2];  // of the crop along y and x, in pixels of 10 m
    int box[4];                  // first row, first column, row and column after the last, in pixels of the output
    float gain, bias, weight;
    int partner;
    unsigned row;
    unsigned symmetry;  // bit 0: y runs backwards, bit 1: x does, bit 2: they change places
    unsigned dropped;   // a bit for each band
    unsigned unused;
};

static_assert(sizeof(Band) == 40 && sizeof(Patch) == 80, "as in NumPy");

struct Batch {
    const Band *__restrict__ bands;
    const Patch *__restrict__ patches;
    const Address *__restrict__ addresses;  // (source, patch)
    int count;                              // patches
    int size;                               // pixels along a side of the output
    Address seed;
    unsigned epoch;
    float noise_std;
    int varies;      // whether gain and bias apply
    int tile_words;  // of shared memory, for the stored pixels of a tile
    Address out;
    int bands_out;
    int wide;  // whether 16 bytes can be written at once
};

// Which pixels of the output a block makes.
struct Tile {
    int x, y, size;
};

// The stored pixels that a tile is made of.
struct Window {
    int top, left, bottom, right, pitch;
};

// One of the patches that a block reads, and what it keeps of it in shared memory: tables are (tap, LINE).
template <int TAPS>
struct Layer {
    static constexpr int TABLE = TAPS * LINE;
    static constexpr int TABLE_WORDS = 2 * TABLE;

    const Patch *__restrict__ patch;
    Address plane;  // of the band's first stored pixel
    float *pixel;   // of the tile's window

    // Weights of taps; where they are along the stored axis; and how many bytes that is from the window's first pixel.
    DEVICE float *weight() const
    {
        return pixel - TABLE;
    }
    DEVICE unsigned short *index() const
    {
        return reinterpret_cast<unsigned short *>(weight()) - TABLE;
    }
    DEVICE unsigned short *offset() const
    {
        return index() - TABLE;
    }
};

DEVICE bool is_transposed(const Patch *patch)
{
    return patch->symmetry & 4;
}

DEVICE bool is_dropped(const Patch *patch)
{
    return patch->dropped >> blockIdx.y & 1;
}

// 1, 2. Positions are float64, and rounded once.
template <int TAPS>
DEVICE float tap_weight(double distance)
{
    if (TAPS == 1)
        return 1;
    constexpr double a = -0.75, least = 1.0 / (1 << 24);
    const double near = ((a + 2) * distance - (a + 3)) * distance * distance + 1;
    const double far = a * (((distance - 5) * distance + 8) * distance - 4);
    const double weight = TAPS == 2 ? 1 - distance : distance <= 1 ? near : far;
    return static_cast<float>(fabs(weight) < least ? 0 : weight);
}

template <int TAPS>
DEVICE void place(const Layer<TAPS> &layer, const Tile &tile, const Band &band, int entry)
{
    const bool is_row = entry >= TILE_X;
    const bool along_y = is_row != is_transposed(layer.patch);
    const bool backwards = layer.patch->symmetry >> (along_y ? 0 : 1) & 1;
    const int at = min(is_row ? tile.y + entry - TILE_X : tile.x + entry, tile.size - 1);
    const int axis = along_y ? 0 : 1;
    const double pixel = (backwards ? tile.size - 1 - at : at) + 0.5;
    const double distance_10m = pixel * layer.patch->extent[axis] / tile.size + layer.patch->start[axis];
    // Dividing takes ten times as long as halving, which is the same to the last bit.
    const double position = band.coarseness == 1   ? distance_10m
                            : band.coarseness == 2 ? distance_10m * 0.5
                                                   : distance_10m / band.coarseness;
    const double centred = TAPS == 1 ? position : position - 0.5;
    const double first = floor(centred) - (TAPS == 4);
#pragma unroll
    for (int tap = 0; tap < TAPS; ++tap) {
        layer.index()[tap * LINE + entry] = min(max(static_cast<int>(first) + tap, 0), band.side - 1);
        if (TAPS > 1)
            layer.weight()[tap * LINE + entry] = tap_weight<TAPS>(fabs(centred - (first + tap)));
    }
}

template <int TAPS>
DEVICE Window window_of(const Layer<TAPS> &layer, const Tile &tile)
{
    // Positions rise or fall along a tile, so that its ends have the extremes.
    const unsigned short *first = layer.index(), *last = first + (TAPS - 1) * LINE;
    const int right = min(TILE_X, tile.size - tile.x) - 1, below = TILE_X + min(TILE_Y, tile.size - tile.y) - 1;
    const int low_column = min(first[0], first[right]), high_column = max(last[0], last[right]);
    const int low_row = min(first[TILE_X], first[below]), high_row = max(last[TILE_X], last[below]);
    const bool transposed = is_transposed(layer.patch);
    Window window;
    window.top = transposed ? low_column : low_row;
    window.bottom = transposed ? high_column : high_row;
    window.left = (transposed ? low_row : low_column) & -QUAD;
    window.right = (transposed ? high_row : high_column) | (QUAD - 1);
    window.pitch = window.right - window.left + 2;
    return window;
}

DEVICE void spread(float *pixel, float word)
{
    pixel[0] = word;
}

DEVICE void spread(float *pixel, unsigned short word)
{
    pixel[0] = word;
}

DEVICE void spread(float *pixel, const float4 &word)
{
    pixel[0] = word.x;
    pixel[1] = word.y;
    pixel[2] = word.z;
    pixel[3] = word.w;
}

DEVICE void spread(float *pixel, const uint2 &word)
{
    pixel[0] = word.x & 0xFFFF;
    pixel[1] = word.x >> 16;
    pixel[2] = word.y & 0xFFFF;
    pixel[3] = word.y >> 16;
}

// Words of so many pixels from global to shared memory: rows side by side, as far as the threads of a warp have room.
template <typename Word, int PIXELS>
DEVICE void fetch(Address plane, float *to, const Window &window, int side, int thread)
{
    constexpr int AT_ONCE = PIXELS == QUAD ? IN_FLIGHT / sizeof(Word) : 1;
    const int words = (window.right - window.left) / PIXELS + 1;
    const int shift = words <= 8 ? 3 : words <= 16 ? 4 : 5;  // of 8, 16 or 32 threads to a row
    const int lanes = 1 << shift, rows = THREADS >> shift;
    for (int x = window.left + (thread & (lanes - 1)) * PIXELS; x <= window.right; x += lanes * PIXELS)
        for (int y = window.top + (thread >> shift); y <= window.bottom; y += AT_ONCE * rows) {
            const Word *from = reinterpret_cast<const Word *>(plane) + (y * side + x) / PIXELS;
            float *pixel = to + (y - window.top) * window.pitch + x - window.left;
            Word word[AT_ONCE];
#pragma unroll
            for (int k = 0; k < AT_ONCE; ++k)
                if (y + k * rows <= window.bottom)
                    word[k] = __ldg(from + k * rows * side / PIXELS);
#pragma unroll
            for (int k = 0; k < AT_ONCE; ++k)
                if (y + k * rows <= window.bottom)
                    spread(pixel + k * rows * window.pitch, word[k]);
        }
}

template <int TAPS>
DEVICE void stage(const Layer<TAPS> &layer, const Tile &tile, const Band &band, int thread)
{
    if (is_dropped(layer.patch))
        return;
    const Window window = window_of<TAPS>(layer, tile);
#pragma unroll 1
    for (int entry = thread; entry < LINE; entry += THREADS)
#pragma unroll
        for (int at = entry; at < TAPS * LINE; at += LINE) {
            const bool along_y = (entry >= TILE_X) != is_transposed(layer.patch);
            const int index = layer.index()[at];
            const int pixels = along_y ? (index - window.top) * window.pitch : index - window.left;
            layer.offset()[at] = pixels * sizeof(float);
        }
    if (band.floats) {
        if (layer.plane % sizeof(float4) == 0)
            fetch<float4, QUAD>(layer.plane, layer.pixel, window, band.side, thread);
        else
            fetch<float, 1>(layer.plane, layer.pixel, window, band.side, thread);
    } else {
        if (layer.plane % sizeof(uint2) == 0)
            fetch<uint2, QUAD>(layer.plane, layer.pixel, window, band.side, thread);
        else
            fetch<unsigned short, 1>(layer.plane, layer.pixel, window, band.side, thread);
    }
}

// 1, 2. Sums run along the stored y first, then along the stored x, however the patch is turned.
template <int TAPS, bool TRANSPOSED, int WIDTH>
DEVICE void resample(const Layer<TAPS> &layer, int column, int row, float (&value)[WIDTH])
{
    const unsigned short *columns = layer.offset() + column, *rows = layer.offset() + TILE_X + row;
    const char *pixels = reinterpret_cast<const char *>(layer.pixel);
    const float *of_columns = layer.weight() + column, *of_rows = layer.weight() + TILE_X + row;
#pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
#pragma unroll
        for (int x = 0; x < TAPS; ++x) {
            float part;
#pragma unroll
            for (int y = 0; y < TAPS; ++y) {
                const int across = (TRANSPOSED ? y : x) * LINE + k, down = (TRANSPOSED ? x : y) * LINE;
                float term = *reinterpret_cast<const float *>(pixels + (columns[across] + rows[down]));
                if (TAPS > 1)
                    term = term * (TRANSPOSED ? of_columns[across] : of_rows[down]);
                part = y == 0 ? term : part + term;
                if (TAPS > 1 && y == TAPS - 1)
                    part = part * (TRANSPOSED ? of_rows[down] : of_columns[across]);
            }
            value[k] = x == 0 ? part : value[k] + part;
        }
    }
}

DEVICE bool is_finite(float value)
{
    return (bits_of(value) & 0x7F800000) != 0x7F800000;
}

// What weighs nothing is no part of a pixel: 0 × NaN is 0 here.
DEVICE float weighed(float number, float weight)
{
    return weight == 0 && !is_finite(number) ? 0 : number * weight;
}

template <int TAPS>
DEVICE float resample_carefully(const Layer<TAPS> &layer, bool transposed, int column, int row)
{
    const int of_y = transposed ? column : TILE_X + row, of_x = transposed ? TILE_X + row : column;
    const char *pixels = reinterpret_cast<const char *>(layer.pixel);
    float total = 0, part = 0;
#pragma unroll 1
    for (int x = of_x; x < TAPS * LINE; x += LINE) {
#pragma unroll 1
        for (int y = of_y; y < TAPS * LINE; y += LINE) {
            const float stored = *reinterpret_cast<const float *>(pixels + (layer.offset()[x] + layer.offset()[y]));
            const float term = weighed(stored, layer.weight()[y]);
            part = y == of_y ? term : part + term;
        }
        const float term = weighed(part, layer.weight()[x]);
        total = x == of_x ? term : total + term;
    }
    return total;
}

// Make pixels again where any is not finite, which is rare: to ask of each product takes longer.
template <int TAPS, int WIDTH>
DEVICE void mend(const Layer<TAPS> &layer, bool transposed, int column, int row, float (&value)[WIDTH])
{
    bool finite = true;
#pragma unroll
    for (int k = 0; k < WIDTH; ++k)
        finite = finite && is_finite(value[k]);
    if (finite)
        return;
#pragma unroll 1
    for (int at = 0; at < WIDTH; ++at) {
        const float mended = resample_carefully(layer, transposed, column + at, row);
        // Registers have no index.
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            value[k] = k == at ? mended : value[k];
    }
}

// Philox4x32-10, and Box–Muller on its words, as in `bigearth_xr.ops.random`.
DEVICE void normal(unsigned (&word)[4], Address seed, float (&number)[4])
{
    unsigned low = static_cast<unsigned>(seed), high = static_cast<unsigned>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned first = 0xD2511F53u * word[0], third = 0xCD9E8D57u * word[2];
        const unsigned carried = __umulhi(0xD2511F53u, word[0]);
        word[0] = __umulhi(0xCD9E8D57u, word[2]) ^ word[1] ^ low;
        word[1] = third;
        word[2] = carried ^ word[3] ^ high;
        word[3] = first;
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
#pragma unroll
    for (int k = 0; k < 4; k += 2) {
        constexpr float unit = 1.0f / (1 << 24);
        const float radius = sqrtf(-2.0f * logf(1.0f - (word[k] >> 8) * unit));
        float sine, cosine;
        // In half turns no range has to be reduced, which would take registers and local memory.
        sincospif(2.0f * ((word[k + 1] >> 8) * unit), &sine, &cosine);
        number[k] = radius * cosine;
        number[k + 1] = radius * sine;
    }
}

// What becomes of the pixels of a patch, in registers.
struct Change {
    bool transposed, dropped, floats;
    float subtract, factor, gain, bias;
    unsigned noise_word, row;
};

DEVICE Change change_of(const Patch *patch, const Band &band)
{
    return {is_transposed(patch), is_dropped(patch), band.floats != 0, band.subtract, band.factor,
            patch->gain,          patch->bias,       band.noise_word,  patch->row};
}

// 1 to 4: pixels of one patch along x.
template <int TAPS, bool NOISE, int WIDTH>
DEVICE void evaluate(const Batch &batch, const Layer<TAPS> &layer, const Change &change, const Tile &tile, int column,
                     int row, float (&value)[WIDTH])
{
    if (change.dropped) {
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            value[k] = 0;
        return;
    }
    if (TAPS > 1 && change.transposed)
        resample<TAPS, true>(layer, column, row, value);
    else
        resample<TAPS, false>(layer, column, row, value);
    if (TAPS > 1 && change.floats)
        mend(layer, change.transposed, column, row, value);
#pragma unroll
    for (int k = 0; k < WIDTH; ++k)
        value[k] = (value[k] - change.subtract) * change.factor;
    if (batch.varies) {
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            value[k] = value[k] * change.gain + change.bias;
    }
    if (NOISE) {
#pragma unroll
        for (int k = 0; k < WIDTH; k += 4) {
            const unsigned y = tile.y + row, quad = (tile.x + column + k) / 4;
            unsigned word[4] = {y << 16 | quad, change.noise_word, change.row, batch.epoch};
            float number[4];
            normal(word, batch.seed, number);
#pragma unroll
            for (int j = 0; j < 4; ++j)
                value[k + j] = value[k + j] + batch.noise_std * number[j];
        }
    }
}

// 5. Whether any pixel of a tile has something of a partner.
DEVICE bool is_mixed(const Patch *patch, int at, const Tile &tile)
{
    const int *box = patch->box;
    const bool meets_box = box[0] < tile.y + TILE_Y && tile.y < box[2] && box[1] < tile.x + TILE_X && tile.x < box[3];
    return patch->partner != at && (patch->weight != 1 || meets_box);
}

template <int WIDTH>
DEVICE void mix(const Patch *patch, int x, int y, const float (&partner)[WIDTH], float (&value)[WIDTH])
{
#pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
        if (patch->box[0] <= y && y < patch->box[2] && patch->box[1] <= x + k && x + k < patch->box[3])
            value[k] = partner[k];
        else if (patch->weight == 0)
            value[k] = partner[k];
        else if (patch->weight != 1)
            value[k] = value[k] * patch->weight + partner[k] * (1 - patch->weight);
    }
}

// 6. Data types of a batch: how many make 16 bytes, and how they are packed into words of 4.

#ifdef __CUDACC__
// Said in so many words, as a compiler may see four stores where two branches write the same.
DEVICE void store_16_bytes(Address at, const unsigned (&word)[4])
{
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(word[0]), "r"(word[1]), "r"(word[2]),
                 "r"(word[3])
                 : "memory");
}

DEVICE unsigned pair_of_halves(float low, float high)
{
    unsigned bits;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
#else
    asm("{.reg .f16 a, b; cvt.rn.f16.f32 a, %1; cvt.rn.f16.f32 b, %2; mov.b32 %0, {a, b};}"
        : "=r"(bits)
        : "f"(low), "f"(high));
#endif
    return bits;
}
#endif

DEVICE unsigned rounded_to_bfloat16(float value)
{
    const unsigned bits = bits_of(value);
    return value != value ? 0x7FC0 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

struct Float32 {
    static constexpr int WIDTH = 4;
    static DEVICE unsigned word(const float (&value)[WIDTH], int k)
    {
        return bits_of(value[k]);
    }
};

struct Float16 {
    static constexpr int WIDTH = 8;
    static DEVICE unsigned word(const float (&value)[WIDTH], int k)
    {
        return pair_of_halves(value[2 * k], value[2 * k + 1]);
    }
};

struct BFloat16 {
    static constexpr int WIDTH = 8;
    static DEVICE unsigned word(const float (&value)[WIDTH], int k)
    {
#if __CUDA_ARCH__ >= 800
        unsigned bits;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(value[2 * k + 1]), "f"(value[2 * k]));
        return bits;
#else
        return rounded_to_bfloat16(value[2 * k + 1]) << 16 | rounded_to_bfloat16(value[2 * k]);
#endif
    }
};

// As many pixels as there are columns left, at once if all of them are there and aligned.
template <typename Out>
DEVICE void store(Address at, int columns, bool wide, const float (&value)[Out::WIDTH])
{
    const unsigned word[4] = {Out::word(value, 0), Out::word(value, 1), Out::word(value, 2), Out::word(value, 3)};
    if (wide) {
        store_16_bytes(at, word);
        return;
    }
#pragma unroll
    for (int k = 0; k < Out::WIDTH; ++k)
        if (k < columns) {
            if (Out::WIDTH == 4)
                reinterpret_cast<unsigned *>(at)[k] = word[k];
            else
                reinterpret_cast<unsigned short *>(at)[k] = word[k / 2] >> 16 * (k % 2);
        }
}

template <int TAPS>
DEVICE Layer<TAPS> layer_of(const Batch &batch, int at, float *shared)
{
    const Band &band = batch.bands[blockIdx.y];
    Layer<TAPS> layer;
    layer.patch = batch.patches + at;
    layer.plane = batch.addresses[static_cast<Address>(band.source) * batch.count + at] + band.offset;
    layer.pixel = shared + Layer<TAPS>::TABLE_WORDS;
    return layer;
}

template <int TAPS, typename Out, bool NOISE, bool MIX>
DEVICE void transform_tile(const Batch &batch, const Tile &tile, float *shared, int at)
{
    const Band &band = batch.bands[blockIdx.y];
    const Layer<TAPS> own = layer_of<TAPS>(batch, at, shared);
    const bool mixed = MIX && is_mixed(own.patch, at, tile);
    const Layer<TAPS> other =
        mixed ? layer_of<TAPS>(batch, own.patch->partner, own.pixel + batch.tile_words) : own;

    EACH_THREAD(thread)
    {
#pragma unroll 1
        for (int entry = thread; entry < LINE; entry += THREADS) {
            place<TAPS>(own, tile, band, entry);
            if (mixed)
                place<TAPS>(other, tile, band, entry);
        }
    }
    BARRIER;
    EACH_THREAD(thread)
    {
        stage<TAPS>(own, tile, band, thread);
        if (mixed)
            stage<TAPS>(other, tile, band, thread);
    }
    BARRIER;
    EACH_THREAD(thread)
    {
        constexpr int WIDTH = Out::WIDTH, ACROSS = LANES / WIDTH;
        const int column = thread / LANES * LANES + thread % ACROSS * WIDTH;
        const int rows = tile.x + column < tile.size ? min(TILE_Y, tile.size - tile.y) : 0;
        const Change change = change_of(own.patch, band), change_of_other = change_of(other.patch, band);
        const Address line = (static_cast<Address>(at) * batch.bands_out + blockIdx.y) * batch.size + tile.y;
        const Address corner = batch.out + (line * batch.size + tile.x + column) * (16 / WIDTH);
        for (int row = thread % LANES / ACROSS; row < rows; row += WIDTH) {
            float value[WIDTH];
            evaluate<TAPS, NOISE>(batch, own, change, tile, column, row, value);
            if (mixed) {
                float partner[WIDTH];
                evaluate<TAPS, NOISE>(batch, other, change_of_other, tile, column, row, partner);
                mix(own.patch, tile.x + column, tile.y + row, partner, value);
            }
            store<Out>(corner + row * batch.size * (16 / WIDTH), tile.size - tile.x - column, batch.wide, value);
        }
    }
}

template <int TAPS, typename Out, bool NOISE, bool MIX>
DEVICE void transform_batch(const Batch &batch, float *shared, int first)
{
    const int at = first + blockIdx.z, tiles = (batch.size + TILE_X - 1) / TILE_X;
    const int tile = blockIdx.x;
    const Tile of = {tile % tiles * TILE_X, tile / tiles * TILE_Y, batch.size};
    // Bands that have as many pixels as the output already are copied.
    if (TAPS > 1 && batch.bands[blockIdx.y].taps > 1)
        transform_tile<TAPS, Out, NOISE, MIX>(batch, of, shared, at);
    else
        transform_tile<1, Out, NOISE, MIX>(batch, of, shared, at);
}

#ifdef __CUDACC__
// Blocks to a multiprocessor: as many as have room in shared memory, if the compiler finds as few registers without
// spilling any.
constexpr int ROOM = TAPS_OF_KERNEL == 1 && !NOISE_OF_KERNEL ? 10 : TAPS_OF_KERNEL < 4 ? 8 : 6;
constexpr int BLOCKS = !MIX_OF_KERNEL ? ROOM : TAPS_OF_KERNEL == 4 ? 4 : 6;

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    transform(const Band *__restrict__ bands, const Patch *__restrict__ patches, const Address *__restrict__ addresses,
              int count, int size, Address seed, unsigned epoch, float noise_std, int varies, int tile_words, Address out,
              int wide, int first)
{
    extern __shared__ __align__(16) float shared[];
    const Batch batch = {bands,     patches, addresses,  count, size, seed, epoch,
                         noise_std, varies,  tile_words, out,   static_cast<int>(gridDim.y), wide};
    transform_batch<TAPS_OF_KERNEL, OUT_OF_KERNEL, NOISE_OF_KERNEL, MIX_OF_KERNEL>(batch, shared, first);
}
#endif
