#!/bin/sh
# Builds a GPU that runs on the CPU: `make.sh FOLDER` writes libcuda.so.1 and libcublasLt.so.13 there. A build with the feature
# `cuda` uses them with LD_LIBRARY_PATH=FOLDER. Needs a C++ compiler.
set -eu
here=$(dirname "$0") out=$1
mkdir -p "$out"
make() {
    name=$1 source=$2
    shift 2
    # No _FORTIFY_SOURCE: it takes jumps between fibers for mistakes. Renamed when finished: other tests may use it.
    "${CXX:-c++}" -std=c++17 -O2 -U_FORTIFY_SOURCE -w -shared -fPIC -fvisibility=hidden -Wl,-soname,"$name" "$here/$source" "$@" -o "$out/$name.$$"
    mv "$out/$name.$$" "$out/$name"
    ln -sf "$name" "$out/${name%.*}" # the name that is looked for first
}
make libcuda.so.1 driver.cpp
make libcublasLt.so.13 cublaslt.cpp "$out/libcuda.so.1"
