#include "cache/base/result.h"

namespace senv {

std::string_view name_of(Kind kind) noexcept {
    switch (kind) {
        case Kind::usage: return "usage";
        case Kind::missing: return "missing";
        case Kind::denied: return "denied";
        case Kind::corrupt: return "corrupt";
        case Kind::untrusted: return "untrusted";
        case Kind::busy: return "busy";
        case Kind::io: return "io";
        case Kind::bug: return "bug";
    }
    return "bug";
}

namespace {

Kind kind_of(int err) noexcept {
    switch (err) {
        case ENOENT:
        case ENOTDIR: return Kind::missing;
        case EACCES:
        case EPERM: return Kind::denied;
        case EAGAIN:
        case ETIMEDOUT:
        case EINTR: return Kind::busy;
        default: return Kind::io;
    }
}

}  // namespace

Error Error::sys(int err, std::string_view doing) {
    char buffer[128];
    // glibc's strerror_r may answer with a constant text instead of the buffer; it is the thread-safe one.
    const char* text = ::strerror_r(err, buffer, sizeof buffer);
    Error error(kind_of(err), std::string(doing) + ": " + text);
    error.no_room_ = err == ENOSPC || err == EDQUOT;
    return error;
}

Error Error::in(std::string_view doing) && {
    what_ = std::string(doing) + ": " + what_;
    return std::move(*this);
}

Error Error::hint(std::string text) && {
    hint_ = std::move(text);
    return std::move(*this);
}

}  // namespace senv
