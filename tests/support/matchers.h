// matchers.h: what most tests want to say about a Result.
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "cache/base/result.h"

namespace senv::test {

MATCHER(IsOk, negation ? "is an error" : "is no error") {
    if (arg) return true;
    *result_listener << name_of(arg.error().kind()) << ": " << arg.error().what();
    return false;
}

/// An Error of this kind with this text somewhere in it.
MATCHER_P2(FailsWith, kind, text, "fails with '" + std::string(text) + "' (" + std::string(name_of(kind)) + ")") {
    if (arg) {
        *result_listener << "no error";
        return false;
    }
    *result_listener << name_of(arg.error().kind()) << ": " << arg.error().what();
    return arg.error().kind() == kind && arg.error().what().find(text) != std::string::npos;
}

}  // namespace senv::test
