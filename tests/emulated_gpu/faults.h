// Faults that a test asks for, in the variable EMULATED_GPU_FAULT: `FUNCTION:N:CODE` has the Nth call of FUNCTION return CODE,
// and `FUNCTION:N:CODE+` each call from then on; with FUNCTION `any`, all calls count and may fail.
#pragma once
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>


struct Fault {
    char name[64] = "";
    long at = 0;
    int code = 0;
    bool stays = false;
    Fault() {
        const char *asked = getenv("EMULATED_GPU_FAULT");
        char plus = 0;
        if (asked && sscanf(asked, "%63[^:]:%ld:%d%c", name, &at, &code, &plus) < 3) {
            fprintf(stderr, "EMULATED_GPU_FAULT is `%s`; use FUNCTION:N:CODE\n", asked);
            abort();
        }
        stays = plus == '+';
    }
};

// Returns the code that a call must return, 0 if it works. The driver counts the calls of both libraries.
inline int fault_of(const char *function) {
    static const Fault fault;
    static std::atomic<long> calls{0};
    if (strcmp(fault.name, "any") && strcmp(fault.name, function)) return 0;
    const long call = ++calls;
    return call == fault.at || (fault.stays && call > fault.at) ? fault.code : 0;
}
