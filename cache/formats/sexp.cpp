#include "cache/formats/sexp.h"

#include <algorithm>

#include "cache/base/text.h"
#include "cache/formats/base64.h"
#include "cache/formats/hash.h"

namespace senv {

namespace {

constexpr std::size_t max_text = 65536;
constexpr std::size_t max_depth = 32;
constexpr std::string_view whitespace = " \t\r\n\v\f";
constexpr std::string_view digits = "0123456789";
constexpr std::string_view token_characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-./_:*+=";
// The escapes of a quoted atom that stand for one byte, and those bytes.
constexpr std::string_view escapes = "btvnfr\"'\\";
constexpr std::string_view escaped = "\b\t\v\n\f\r\"'\\";

bool is_in(std::string_view set, char c) noexcept {
    return set.find(c) != std::string_view::npos;
}

std::string as_text(const std::vector<std::byte>& bytes) {
    std::string text;
    for (const std::byte byte : bytes) text += static_cast<char>(byte);
    return text;
}

class Parser {
public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<Sexp> whole() {
        skip_whitespace();
        if (done() || text_[at_] != '(') return fail("want '('");
        Sexp top = SENV_TRY(list(1));
        if (top.items.empty()) return fail("the list is empty");
        skip_whitespace();
        if (!done()) return fail("want the end, got " + next());
        return top;
    }

private:
    bool done() const noexcept { return at_ == text_.size(); }
    std::string next() const { return "'" + printable(text_.substr(at_, 1)) + "'"; }
    Error fail(const std::string& cause) const { return {Kind::corrupt, offset() + ": " + cause}; }
    std::string offset() const { return "offset " + std::to_string(at_); }
    void skip_whitespace() noexcept {
        while (!done() && is_in(whitespace, text_[at_])) ++at_;
    }

    // At '('.
    Result<Sexp> list(std::size_t depth) {
        if (depth > max_depth) return fail("more than " + std::to_string(max_depth) + " lists inside each other");
        ++at_;
        Sexp list;
        for (;;) {
            skip_whitespace();
            if (done()) return fail("the text ends inside a list");
            if (text_[at_] == ')') {
                ++at_;
                return list;
            }
            if (text_[at_] == '(') {
                list.items.push_back(SENV_TRY(this->list(depth + 1)));
            } else {
                list.items.push_back(Sexp{true, SENV_TRY(atom()), {}});
            }
        }
    }

    Result<std::string> atom() {
        const char c = text_[at_];
        if (c == '"') return quoted();
        if (c == '#') {
            const std::string start = offset();
            return as_text(SENV_TRY(hex_decode(SENV_TRY(delimited())).in(start)));
        }
        if (c == '|') {
            const std::string start = offset();
            return base64_decode(SENV_TRY(delimited())).in(start);
        }
        if (is_in(digits, c)) return counted();
        if (is_in(token_characters, c)) return token();
        return fail("want an atom, got " + next());
    }

    Result<std::string> token() {
        const std::size_t end = std::min(text_.find_first_not_of(token_characters, at_), text_.size());
        std::string atom(text_.substr(at_, end - at_));
        at_ = end;
        return atom;
    }

    // What stands between this delimiter and the next one like it, without whitespace.
    Result<std::string> delimited() {
        const std::size_t end = text_.find(text_[at_], at_ + 1);
        if (end == std::string_view::npos) return fail("want another " + next());
        std::string inner(text_.substr(at_ + 1, end - at_ - 1));
        std::erase_if(inner, [](char c) { return is_in(whitespace, c); });
        at_ = end + 1;
        return inner;
    }

    // N:raw
    Result<std::string> counted() {
        if (text_[at_] == '0') return fail("a length begins with '0'");
        const std::size_t colon = text_.find_first_not_of(digits, at_);
        if (colon == std::string_view::npos || text_[colon] != ':') return fail("want ':' after a length");
        const auto length = parse_decimal(text_.substr(at_, colon - at_));
        if (!length || *length > text_.size() - colon - 1) return fail("the length goes beyond the text");
        std::string atom(text_.substr(colon + 1, *length));
        at_ = colon + 1 + *length;
        return atom;
    }

    // "text" with the escapes of C but for octal ones, which libgcrypt never writes.
    Result<std::string> quoted() {
        std::string atom;
        for (++at_; !done() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\') {
                SENV_TRY(escape(atom));
            } else {
                atom += text_[at_];
            }
        }
        if (done()) return fail("the text ends inside a quoted atom");
        ++at_;
        return atom;
    }

    // At '\'; afterwards at the last character of the escape.
    Result<void> escape(std::string& atom) {
        ++at_;
        const char c = done() ? '\0' : text_[at_];
        if (const auto which = escapes.find(c); which != std::string_view::npos) {
            atom += escaped[which];
            return {};
        }
        if (c == 'x') {
            if (text_.size() - at_ < 3) return fail("want two hexadecimal digits");
            atom += as_text(SENV_TRY(hex_decode(text_.substr(at_ + 1, 2)).in(offset())));
            at_ += 2;
            return {};
        }
        return fail("unknown escape");
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

void append_canonical(const Sexp& sexp, std::string& out) {
    if (sexp.is_atom) {
        out += std::to_string(sexp.atom.size());
        out += ':';
        out += sexp.atom;
        return;
    }
    out += '(';
    for (const Sexp& item : sexp.items) append_canonical(item, out);
    out += ')';
}

}  // namespace

Result<Sexp> Sexp::parse(std::string_view text) {
    if (text.size() > max_text) {
        return Error(Kind::corrupt, "the s-expression has more than " + std::to_string(max_text) + " bytes");
    }
    return Parser(text).whole();
}

std::string Sexp::canonical() const {
    std::string out;
    append_canonical(*this, out);
    return out;
}

bool Sexp::is_list_named(std::string_view name) const noexcept {
    return !items.empty() && items.front().is_atom && items.front().atom == name;
}

const Sexp* Sexp::only_child(std::string_view name) const noexcept {
    const auto is_named = [name](const Sexp& item) { return item.is_list_named(name); };
    const auto first = std::find_if(items.begin(), items.end(), is_named);
    if (first == items.end() || std::any_of(first + 1, items.end(), is_named)) return nullptr;
    return &*first;
}

}  // namespace senv
