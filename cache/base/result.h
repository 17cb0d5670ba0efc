// result.h: how a function says that it failed.
//
// Shape    Result<T> holds a T or an Error; Result<void> holds nothing or an Error. An Error is a kind (for the program),
//          a text "cannot <verb> '<object>': <cause>" (for the person) and perhaps a hint (one thing to do next).
// Errors   Whoever returns an Error does not log it; one edge of the process prints it, once. Exceptions are for bugs and
//          exhausted memory: contained() turns them into an Error at the edges (main, threads, C callbacks).
#pragma once

#include <cerrno>
#include <cstring>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace senv {

enum class Kind : unsigned char {
    usage,      // the caller asked for something that makes no sense
    missing,    // what was asked for is not there
    denied,     // not allowed
    corrupt,    // bytes that do not have the form they must have
    untrusted,  // well formed, but nobody we trust vouches for it
    busy,       // not now: a limit was reached, or the wait was cut off
    io,         // the system or the network failed
    bug,        // our own mistake
};

/// The kind's name, as in logs and JSON: "usage", "missing", …
std::string_view name_of(Kind kind) noexcept;

class [[nodiscard]] Error {
public:
    Error(Kind kind, std::string what) : kind_(kind), what_(std::move(what)) {}

    /// "DOING: text of ERR". Takes errno by value: read it before any cleanup can change it.
    static Error sys(int err, std::string_view doing);

    /// Puts what was being done in front: "DOING: what". Keeps kind and hint.
    Error in(std::string_view doing) &&;
    /// Sets the hint. One imperative sentence, only where it is true.
    Error hint(std::string text) &&;

    Kind kind() const noexcept { return kind_; }
    /// No bytes or inodes are left where something was to be written, or the owner's quota is used up.
    bool no_room() const noexcept { return no_room_; }
    const std::string& what() const noexcept { return what_; }
    const std::string& hint() const noexcept { return hint_; }

private:
    Kind kind_;
    std::string what_;
    std::string hint_;
    bool no_room_ = false;
};

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    explicit operator bool() const noexcept { return state_.index() == 0; }
    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }
    Result in(std::string_view doing) && {
        if (*this) return std::move(*this);
        return std::move(*this).error().in(doing);
    }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    explicit operator bool() const noexcept { return !error_; }
    void value() const noexcept {}
    const Error& error() const& { return *error_; }
    Error&& error() && { return *std::move(error_); }
    Result in(std::string_view doing) && {
        if (*this) return {};
        return std::move(*error_).in(doing);
    }

private:
    std::optional<Error> error_;
};

/// Runs body() and turns an exception into an Error of kind bug. For the edges only.
template <class F>
auto contained(F&& body) noexcept -> decltype(body()) {
    try {
        return body();
    } catch (const std::exception& e) {
        return Error(Kind::bug, e.what());
    } catch (...) {
        return Error(Kind::bug, "unknown exception");
    }
}

}  // namespace senv

#define SENV_CAT_(a, b) a##b
#define SENV_CAT(a, b) SENV_CAT_(a, b)
#define SENV_TRY_AS(r, expr)             \
    __extension__({                      \
        auto r = (expr);                 \
        if (!r) {                        \
            return std::move(r).error(); \
        } /* NOLINT */                   \
        std::move(r).value();            \
    })
/// The value of a Result, or a return of its Error from the enclosing function.
#define SENV_TRY(expr) SENV_TRY_AS(SENV_CAT(senv_try_, __COUNTER__), expr)
