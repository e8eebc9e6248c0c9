// NVIDIA's driver without a GPU: what zsic calls of libcuda.so.1. Kernels run on the CPU, as src/kernels/cuda/host.h plays them.
// Work waits in its stream until something needs it to be done, so that what is not waited for is not there.
//
// EMULATED_GPU_COUNT        GPUs, by default 1
// EMULATED_GPU_CAPABILITY   their compute capability, by default 9.0
// EMULATED_GPU_CUDA         the version of CUDA that the driver is for, by default 13000
// EMULATED_GPU_MEMORY       the bytes that can be allocated, by default 4 GB
// EMULATED_GPU_ORDER        late (by default): all streams do their work as late as they may; early: those that only copy do it
//                           as early as they may
// EMULATED_GPU_FAULT        see faults.h
#include "../../src/kernels/cuda/attention.cuh"
#include "faults.h"
#include "streams.h"

#include <array>
#include <map>
#include <string>
#include <tuple>
#include <utility>

typedef unsigned long long Pointer;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
       NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

#define EXPORT extern "C" __attribute__((visibility("default")))
// Begins a function, with the fault that was asked for.
#define CALL if (const int code = fault_of(__func__)) return code
// The same for a function that needs the context of a GPU, as long as that is retained.
#define CALL_IN_CONTEXT                                                                                                \
    CALL;                                                                                                              \
    if (!is_in_context()) return INVALID_CONTEXT

static Streams streams;
#define LOCKED std::lock_guard<std::recursive_mutex> held(streams.lock)

static long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}
static long count() { return setting("EMULATED_GPU_COUNT", 1); }
static int capability() {
    const char *value = getenv("EMULATED_GPU_CAPABILITY");
    int major = 9, minor = 0;
    if (value) sscanf(value, "%d.%d", &major, &minor);
    return major * 10 + minor;
}

// Memory of the device: the size of each piece by its address.
static std::map<Pointer, size_t> pieces;
static size_t used = 0;

// Pieces that a stream will free, by address. It may use them again before, as what it does with them comes later.
struct Freed {
    Stream *by;
    long at; // the place in the stream
};
static std::map<Pointer, Freed> freed;

static int allocate(Pointer *out, size_t bytes, Stream *stream) {
    if (bytes == 0) return INVALID_VALUE;
    for (auto piece = freed.begin(); piece != freed.end(); piece++)
        if (piece->second.by == stream && pieces[piece->first] >= bytes && pieces[piece->first] <= 2 * bytes) {
            *out = piece->first;
            freed.erase(piece);
            return OK;
        }
    const size_t most = setting("EMULATED_GPU_MEMORY", 4l << 30);
    if (used + bytes > most) streams.run_all(); // some of it frees memory
    if (used + bytes > most) return OUT_OF_MEMORY;
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(memory, 0xdb, bytes); // what nothing has written is garbage: large numbers
    pieces[(Pointer)memory] = bytes, used += bytes;
    *out = (Pointer)memory;
    return OK;
}

static void release(Pointer at, long place) {
    const auto by = freed.find(at);
    if (by == freed.end() || by->second.at != place) return; // it was taken again
    freed.erase(by);
    const auto piece = pieces.find(at);
    memset((void *)at, 0xdb, piece->second);
    used -= piece->second;
    pieces.erase(piece);
    free((void *)at);
}

// Returns whether bytes lie in one piece.
static bool is_inside(Pointer at, size_t bytes) {
    auto piece = pieces.upper_bound(at);
    if (piece == pieces.begin()) return false;
    --piece;
    return at + bytes <= piece->first + piece->second;
}

static void copy(void *to, const void *from, size_t bytes, Pointer on_device) {
    if (is_inside(on_device, bytes)) memcpy(to, from, bytes);
    else streams.fail(ILLEGAL_ADDRESS);
}

// Memory of the host that copies read when their turn comes. The driver reads other memory at once.
static std::map<const u8 *, size_t> pinned;
static bool is_pinned(const void *at, size_t bytes) {
    for (const auto &[from, length] : pinned)
        if ((const u8 *)at >= from && (const u8 *)at + bytes <= from + length) return true;
    return false;
}

// The kernels by name: each takes the addresses of its arguments, keeps their values, and returns the work of a thread.
typedef std::function<Work(void **)> Kernel;

template <class... A, size_t... I> static Work with(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    const std::tuple<A...> values(*(A *)args[I]...);
    return [=] { std::apply(kernel, values); };
}
template <class... A> static Kernel kernel(void (*kernel)(A...)) {
    return [=](void **args) { return with(kernel, args, std::index_sequence_for<A...>()); };
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

// How often the context of each GPU is retained; its address stands for the context.
static std::array<std::atomic<int>, 16> contexts;
static thread_local std::atomic<int> *current = nullptr;
static bool is_in_context() { return current && *current > 0; }

EXPORT int cuInit(unsigned) {
    CALL;
    return count() > 0 ? OK : NO_DEVICE;
}
EXPORT int cuDriverGetVersion(int *out) {
    CALL;
    *out = (int)setting("EMULATED_GPU_CUDA", 13000);
    return OK;
}
EXPORT int cuDeviceGet(int *device, int index) {
    CALL;
    if (index >= count()) return INVALID_DEVICE;
    *device = index;
    return OK;
}
EXPORT int cuDeviceGetName(char *name, int length, int) {
    CALL;
    snprintf(name, length, "Emulated GPU");
    return OK;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
    CALL;
    switch (attribute) {
    case 16: *value = 4; return OK; // multiprocessors
    case 75: *value = capability() / 10; return OK;
    case 76: *value = capability() % 10; return OK;
    case 115: *value = 1; return OK; // pools of memory
    }
    return INVALID_VALUE;
}
EXPORT int cuDevicePrimaryCtxRetain(std::atomic<int> **out, int device) {
    CALL;
    *out = &contexts[device];
    ++**out;
    return OK;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    CALL;
    --contexts[device];
    return OK;
}
EXPORT int cuCtxGetCurrent(std::atomic<int> **out) {
    CALL;
    *out = current;
    return OK;
}
EXPORT int cuCtxSetCurrent(std::atomic<int> *to) {
    CALL;
    current = to;
    return OK;
}
EXPORT int cuCtxSynchronize() {
    CALL_IN_CONTEXT;
    LOCKED;
    streams.run_all();
    return streams.failure;
}

EXPORT int cuStreamCreate(Stream **out, unsigned) {
    CALL_IN_CONTEXT;
    LOCKED;
    *out = streams.create();
    return OK;
}
EXPORT int cuStreamDestroy_v2(Stream *) { CALL_IN_CONTEXT; return OK; }
EXPORT int cuStreamSynchronize(Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    streams.run(*stream, stream->issued);
    return streams.failure;
}
EXPORT int cuStreamWaitEvent(Stream *stream, const Event *event, unsigned) {
    CALL_IN_CONTEXT;
    LOCKED;
    if (event->stream) streams.add(*stream, {nullptr, event->stream, event->at});
    return streams.failure;
}
EXPORT int cuEventCreate(Event **out, unsigned) {
    CALL_IN_CONTEXT;
    *out = new Event{nullptr, 0};
    return OK;
}
EXPORT int cuEventRecord(Event *event, Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    *event = {stream, stream->issued};
    return streams.failure;
}
EXPORT int cuEventSynchronize(const Event *event) {
    CALL_IN_CONTEXT;
    LOCKED;
    if (event->stream) streams.run(*event->stream, event->at);
    return streams.failure;
}
EXPORT int cuEventDestroy_v2(Event *event) {
    CALL_IN_CONTEXT;
    delete event;
    return OK;
}

EXPORT int cuDeviceGetDefaultMemPool(void **out, int) {
    CALL_IN_CONTEXT;
    *out = current;
    return OK;
}
EXPORT int cuMemPoolSetAttribute(void *, int, void *) { CALL_IN_CONTEXT; return OK; }
EXPORT int cuMemAllocAsync(Pointer *out, size_t bytes, Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    return streams.failure ? streams.failure : allocate(out, bytes, stream);
}
EXPORT int cuMemFreeAsync(Pointer at, Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    const long place = stream->issued;
    if (!pieces.count(at) || !freed.emplace(at, Freed{stream, place}).second) return INVALID_VALUE;
    streams.add(*stream, {[=] { release(at, place); }});
    return streams.failure;
}
EXPORT int cuMemHostAlloc(void **out, size_t bytes, unsigned) {
    CALL_IN_CONTEXT;
    LOCKED;
    *out = malloc(bytes);
    pinned[(const u8 *)*out] = bytes;
    return OK;
}
EXPORT int cuMemFreeHost(void *memory) {
    CALL_IN_CONTEXT;
    LOCKED;
    memset(memory, 0xdb, pinned[(const u8 *)memory]); // and kept: copies that come too late find garbage
    return OK;
}
EXPORT int cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    if (is_pinned(from, bytes)) {
        streams.add(*stream, {[=] { copy((void *)to, from, bytes, to); }});
    } else {
        const std::vector<u8> read((const u8 *)from, (const u8 *)from + bytes);
        streams.add(*stream, {[=] { copy((void *)to, read.data(), bytes, to); }});
    }
    return streams.failure;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, Stream *stream) {
    CALL_IN_CONTEXT;
    LOCKED;
    streams.run(*stream, stream->issued);
    copy(to, (const void *)from, bytes, from);
    return streams.failure;
}

EXPORT int cuModuleLoadData(void **out, const void *image) {
    CALL_IN_CONTEXT;
    if (*(const u32 *)image != 0xba55ed50) return INVALID_IMAGE; // not what nvcc makes of several targets
    *out = current;
    return OK;
}
EXPORT int cuModuleUnload(void *) { CALL_IN_CONTEXT; return OK; }
EXPORT int cuModuleGetFunction(void **out, void *, const char *name) {
    CALL_IN_CONTEXT;
    const auto found = KERNELS.find(name);
    const bool is_on_matrix_units = !strncmp(name, "attention_", 10) && strncmp(name, "attention_f32", 13);
    if (found == KERNELS.end() || (capability() < 80 && is_on_matrix_units)) return NOT_FOUND;
    *out = (void *)&found->second;
    return OK;
}
EXPORT int cuLaunchKernel(const Kernel *kernel, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned, unsigned,
                          Stream *stream, void **args, void **) {
    CALL_IN_CONTEXT;
    LOCKED;
    if (x == 0 || y == 0 || z != 1 || threads == 0 || threads > 1024) return INVALID_VALUE;
    stream->computes = true;
    const Work thread = (*kernel)(args);
    streams.add(*stream, {[=] {
        for (blockIdx.y = 0; blockIdx.y < (int)y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < (int)x; blockIdx.x++) run_block((int)threads, thread);
    }});
    return streams.failure;
}

// For cuBLASLt: whether a call works, and work in a stream that reads and writes memory of the device.
EXPORT int emulated_gpu_fault(const char *function) { return fault_of(function); }
EXPORT bool emulated_gpu_is_in_context() { return is_in_context(); }
EXPORT void emulated_gpu_check(const void *at, size_t bytes) {
    if (!is_inside((Pointer)at, bytes)) streams.fail(ILLEGAL_ADDRESS);
}
EXPORT void emulated_gpu_add(Stream *stream, std::function<void()> work) {
    LOCKED;
    stream->computes = true;
    streams.add(*stream, {work});
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
