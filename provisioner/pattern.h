// pattern.h: POSIX extended regular expressions of people we do not know. Pure.
//
// Limits   glibc takes any amount of time for back references, and of both time and memory for counts: "(…){1,100}" is a
//          hundred copies, which with stars in them took 9 GB. The former are refused, and patterns that with all their
//          counts, one in the other, would have more than 4000 bytes.
// Errors   usage, with what is wrong.
#pragma once

#include <regex.h>

#include <memory>
#include <string>

#include "cache/base/result.h"

namespace senv {

class Pattern {
public:
    static Result<Pattern> compile(const std::string& text);
    /// Anywhere in `text`.
    bool matches(const std::string& text) const noexcept;

private:
    struct Free {
        void operator()(regex_t* compiled) const noexcept;
    };
    explicit Pattern(std::unique_ptr<regex_t, Free> compiled) : compiled_(std::move(compiled)) {}

    std::unique_ptr<regex_t, Free> compiled_;
};

}  // namespace senv
