// NVIDIA's driver without a GPU: what zsic calls of libcuda.so.1. Kernels run on the CPU, as src/kernels/cuda/host.h plays them,
// and each call is finished when it returns. Memory is the host's, so it shows no mistake in what waits for what.
//
// EMULATED_GPU_COUNT        GPUs, by default 1
// EMULATED_GPU_CAPABILITY   their compute capability, by default 9.0
// EMULATED_GPU_MEMORY       the bytes that can be allocated, by default 4 GB
// EMULATED_GPU_FAULT        see faults.h
#include "../../src/kernels/cuda/attention.cuh"
#include "faults.h"

#include <map>
#include <mutex>
#include <string>
#include <utility>

typedef unsigned long long Pointer;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200, NOT_FOUND = 500 };

static std::mutex lock;

static long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}
static long count() { return setting("EMULATED_GPU_COUNT", 1); }
static int capability() {
    const char *value = getenv("EMULATED_GPU_CAPABILITY");
    return value ? (value[0] - '0') * 10 + value[2] - '0' : 90;
}

// Memory of the device: the size of each piece by its address.
static std::map<Pointer, size_t> pieces;
static size_t used = 0;

static int allocate(Pointer *out, size_t bytes) {
    std::lock_guard<std::mutex> held(lock);
    if (bytes == 0) return INVALID_VALUE;
    if (used + bytes > (size_t)setting("EMULATED_GPU_MEMORY", 4l << 30)) return OUT_OF_MEMORY;
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(memory, 0xdb, bytes); // what nothing has written is garbage: large numbers
    pieces[(Pointer)memory] = bytes, used += bytes;
    *out = (Pointer)memory;
    return OK;
}

static int release(Pointer at) {
    std::lock_guard<std::mutex> held(lock);
    const auto piece = pieces.find(at);
    if (piece == pieces.end()) return INVALID_VALUE;
    memset((void *)at, 0xdb, piece->second);
    used -= piece->second;
    pieces.erase(piece);
    free((void *)at);
    return OK;
}

// Returns whether bytes lie in one piece.
static bool is_inside(Pointer at, size_t bytes) {
    std::lock_guard<std::mutex> held(lock);
    auto piece = pieces.upper_bound(at);
    if (piece == pieces.begin()) return false;
    --piece;
    return at + bytes <= piece->first + piece->second;
}

// The kernels by name: each takes the addresses of its arguments.
typedef std::function<void(void **)> Kernel;

template <class... A, size_t... I> static void call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*(A *)args[I]...);
}
template <class... A> static Kernel kernel(void (*kernel)(A...)) {
    return [kernel](void **args) { call(kernel, args, std::index_sequence_for<A...>()); };
}
#define NAMED(name) {#name, kernel(name)},
#define FOR_FORM(form) NAMED(layer_norm_##form) NAMED(patches_##form) NAMED(convert_f32_##form) NAMED(attention_f32_##form)
#define FOR_HEADS(size) NAMED(attention_bf16_##size) NAMED(attention_f16_##size) NAMED(attention_split_##size)
static const std::map<std::string, Kernel> KERNELS = {
    FOR_FORM(f32) FOR_FORM(bf16) FOR_FORM(f16) FOR_FORM(split)
    NAMED(convert_bf16_bf16) NAMED(convert_f16_f16) NAMED(add_positions) NAMED(pick) NAMED(mean)
    FOR_HEADS(32_4) FOR_HEADS(64_4) FOR_HEADS(64_8) FOR_HEADS(80_4) FOR_HEADS(80_8) FOR_HEADS(96_4) FOR_HEADS(112_4)
    FOR_HEADS(128_4)
};

static thread_local void *current = nullptr;
static int context, stream_or_event;

EXPORT int cuInit(unsigned) {
    CALL(int);
    return count() > 0 ? OK : NO_DEVICE;
}
EXPORT int cuDeviceGetCount(int *out) {
    CALL(int);
    *out = (int)count();
    return OK;
}
EXPORT int cuDeviceGet(int *device, int index) {
    CALL(int);
    if (index >= count()) return INVALID_DEVICE;
    *device = index;
    return OK;
}
EXPORT int cuDeviceGetName(char *name, int length, int) {
    CALL(int);
    snprintf(name, length, "Emulated GPU");
    return OK;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
    CALL(int);
    switch (attribute) {
    case 16: *value = 4; return OK; // multiprocessors
    case 75: *value = capability() / 10; return OK;
    case 76: *value = capability() % 10; return OK;
    case 115: *value = 1; return OK; // pools of memory
    }
    return INVALID_VALUE;
}
EXPORT int cuDevicePrimaryCtxRetain(void **out, int) {
    CALL(int);
    *out = &context;
    return OK;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { CALL(int); return OK; }
EXPORT int cuCtxGetCurrent(void **out) {
    CALL(int);
    *out = current;
    return OK;
}
EXPORT int cuCtxSetCurrent(void *to) {
    CALL(int);
    current = to;
    return OK;
}
EXPORT int cuCtxSynchronize() { CALL(int); return OK; }

EXPORT int cuStreamCreate(void **out, unsigned) {
    CALL(int);
    *out = &stream_or_event;
    return OK;
}
EXPORT int cuStreamDestroy_v2(void *) { CALL(int); return OK; }
EXPORT int cuStreamSynchronize(void *) { CALL(int); return OK; }
EXPORT int cuStreamWaitEvent(void *, void *, unsigned) { CALL(int); return OK; }
EXPORT int cuEventCreate(void **out, unsigned) {
    CALL(int);
    *out = &stream_or_event;
    return OK;
}
EXPORT int cuEventRecord(void *, void *) { CALL(int); return OK; }
EXPORT int cuEventSynchronize(void *) { CALL(int); return OK; }
EXPORT int cuEventDestroy_v2(void *) { CALL(int); return OK; }

EXPORT int cuDeviceGetDefaultMemPool(void **out, int) {
    CALL(int);
    *out = &context;
    return OK;
}
EXPORT int cuMemPoolSetAttribute(void *, int, void *) { CALL(int); return OK; }
EXPORT int cuMemAllocAsync(Pointer *out, size_t bytes, void *) {
    CALL(int);
    return allocate(out, bytes);
}
EXPORT int cuMemFreeAsync(Pointer at, void *) {
    CALL(int);
    return release(at);
}
EXPORT int cuMemHostAlloc(void **out, size_t bytes, unsigned) {
    CALL(int);
    *out = malloc(bytes);
    return OK;
}
EXPORT int cuMemFreeHost(void *memory) {
    CALL(int);
    free(memory);
    return OK;
}
EXPORT int cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, void *) {
    CALL(int);
    if (!is_inside(to, bytes)) return INVALID_VALUE;
    memcpy((void *)to, from, bytes);
    return OK;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, void *) {
    CALL(int);
    if (!is_inside(from, bytes)) return INVALID_VALUE;
    memcpy(to, (void *)from, bytes);
    return OK;
}

EXPORT int cuModuleLoadData(void **out, const void *image) {
    CALL(int);
    if (*(const u32 *)image != 0xba55ed50) return INVALID_IMAGE; // not what nvcc makes of several targets
    *out = &context;
    return OK;
}
EXPORT int cuModuleUnload(void *) { CALL(int); return OK; }
EXPORT int cuModuleGetFunction(void **out, void *, const char *name) {
    CALL(int);
    const auto found = KERNELS.find(name);
    const bool is_on_matrix_units = !strncmp(name, "attention_", 10) && strncmp(name, "attention_f32", 13);
    if (found == KERNELS.end() || (capability() < 80 && is_on_matrix_units)) return NOT_FOUND;
    *out = (void *)&found->second;
    return OK;
}
EXPORT int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned, unsigned,
                          void *, void **args, void **) {
    CALL(int);
    if (!current || x == 0 || y == 0 || z != 1 || threads == 0 || threads > 1024) return INVALID_VALUE;
    std::lock_guard<std::mutex> held(lock);
    for (blockIdx.y = 0; blockIdx.y < (int)y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < (int)x; blockIdx.x++)
            run_block((int)threads, [&] { (*(const Kernel *)function)(args); });
    return OK;
}

EXPORT int cuGetErrorName(int code, const char **out) {
    *out = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_EMULATED";
    return OK;
}
EXPORT int cuGetErrorString(int code, const char **out) {
    static thread_local char text[64];
    snprintf(text, sizeof text, "emulated error %d", code);
    *out = code == NO_DEVICE ? "no CUDA-capable device is detected" : code == OUT_OF_MEMORY ? "out of memory" : text;
    return OK;
}
