#!/bin/sh
# Builds a GPU that runs on the CPU: `make.sh FOLDER` writes libcuda.so.1 and libcublasLt.so.13 there. A build with the feature
# `cuda` uses them with LD_LIBRARY_PATH=FOLDER. Needs a C++ compiler.
set -eu
here=$(dirname "$0")
mkdir -p "$1"
for library in driver:libcuda.so.1 cublaslt:libcublasLt.so.13; do
    name=${library#*:}
    # No _FORTIFY_SOURCE: it takes jumps between fibers for mistakes. Renamed when finished: other tests may use it.
    "${CXX:-c++}" -std=c++17 -O2 -U_FORTIFY_SOURCE -w -shared -fPIC -fvisibility=hidden -Wl,-soname,"$name" "$here/${library%:*}.cpp" -o "$1/$name.$$"
    mv "$1/$name.$$" "$1/$name"
done
