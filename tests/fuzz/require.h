// require.h: what a fuzz target says must hold for every input.
#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the program when `condition` is false, so that libFuzzer keeps the input.
#define REQUIRE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            std::abort();                                                                  \
        }                                                                                  \
    } while (false)
