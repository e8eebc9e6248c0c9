// Everything that runs on the device, in one module.
#include "attention.cuh"
