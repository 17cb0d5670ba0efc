#include "provisioner/scheme_data.h"

#include <optional>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::string_view whitespace = " \t\r\n\f\v";
constexpr std::string_view delimiters = " \t\r\n\f\v()[]\";";

bool is_in(std::string_view set, char c) noexcept {
    return set.find(c) != std::string_view::npos;
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

std::optional<unsigned> hex_value(char c) noexcept {
    if (is_digit(c)) return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
    return std::nullopt;
}

// "12", "-5", "1.5", "1/2": as Scheme has it, a token that begins like a number is one.
bool looks_like_number(std::string_view token) noexcept {
    const std::size_t sign = token[0] == '-' || token[0] == '+' ? 1 : 0;
    return token.size() > sign && is_digit(token[sign]) &&
           token.find_first_not_of("0123456789./", sign) == std::string_view::npos;
}

void append_utf8(std::string& text, std::uint32_t code) {
    const auto byte = [&](std::uint32_t value) { text += static_cast<char>(static_cast<unsigned char>(value)); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xc0U | (code >> 6U));
        byte(0x80U | (code & 0x3fU));
    } else if (code < 0x10000) {
        byte(0xe0U | (code >> 12U));
        byte(0x80U | ((code >> 6U) & 0x3fU));
        byte(0x80U | (code & 0x3fU));
    } else {
        byte(0xf0U | (code >> 18U));
        byte(0x80U | ((code >> 12U) & 0x3fU));
        byte(0x80U | ((code >> 6U) & 0x3fU));
        byte(0x80U | (code & 0x3fU));
    }
}

class Reader {
public:
    explicit Reader(std::string_view text) : text_(text) {}

    Result<std::vector<Datum>> all() {
        std::vector<Datum> data;
        for (;;) {
            SENV_TRY(skip(0));
            if (done()) return data;
            data.push_back(SENV_TRY(datum(0)));
        }
    }

private:
    bool done() const noexcept { return at_ == text_.size(); }
    char peek(std::size_t ahead = 0) const noexcept { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    char take() noexcept {
        const char c = text_[at_++];
        if (c == '\n') {
            ++line_;
            line_start_ = at_;
        }
        return c;
    }
    bool at(std::string_view token) const noexcept { return text_.substr(at_).starts_with(token); }
    void take(std::size_t count) noexcept {
        for (; count > 0; --count) take();
    }
    Datum here(Datum::Type type) const {
        Datum datum;
        datum.type = type;
        datum.line = line_;
        datum.column = at_ - line_start_ + 1;
        return datum;
    }
    Error fail(const std::string& cause) const { return fail(here(Datum::Type::symbol), cause); }
    static Error fail(const Datum& where, const std::string& cause) {
        return {Kind::corrupt, where.place() + ": " + cause};
    }

    // Whitespace and comments.
    Result<void> skip(std::size_t depth) {
        SENV_TRY(check(depth));
        while (!done()) {
            if (is_in(whitespace, peek())) {
                take();
            } else if (peek() == ';') {
                while (!done() && peek() != '\n') take();
            } else if (at("#|")) {
                SENV_TRY(skip_block());
            } else if (at("#;")) {
                take(2);
                SENV_TRY(skip(depth + 1));
                SENV_TRY(datum(depth + 1));
            } else {
                break;
            }
        }
        return {};
    }

    Result<void> check(std::size_t depth) const {
        if (depth <= max_scheme_depth) return {};
        return fail("more than " + std::to_string(max_scheme_depth) + " levels inside each other");
    }

    Result<void> skip_block() {
        const Datum start = here(Datum::Type::symbol);
        for (std::size_t open = 0; !done();) {
            if (at("#|")) {
                take(2);
                ++open;
            } else if (at("|#")) {
                take(2);
                if (--open == 0) return {};
            } else {
                take();
            }
        }
        return fail(start, "a comment begins here and does not end");
    }

    Result<Datum> datum(std::size_t depth) {
        SENV_TRY(check(depth));
        if (++count_ > max_scheme_data) return fail("more than " + std::to_string(max_scheme_data) + " data");
        if (done()) return fail("the text ends where a value is wanted");
        switch (peek()) {
            case '(': return list(depth, ')');
            case '[': return list(depth, ']');
            case ')':
            case ']': return fail(std::string("'") + peek() + "' closes nothing");
            case '"': return string();
            case '\'': return quoted(depth, "quote", 1);
            case '`': return quoted(depth, "quasiquote", 1);
            case ',': return peek(1) == '@' ? quoted(depth, "unquote-splicing", 2) : quoted(depth, "unquote", 1);
            case '#': return hash();
            default: return token();
        }
    }

    Result<Datum> quoted(std::size_t depth, std::string_view name, std::size_t length) {
        Datum form = here(Datum::Type::list);
        Datum symbol = here(Datum::Type::symbol);
        symbol.text = name;
        take(length);
        SENV_TRY(skip(depth + 1));
        form.items.push_back(std::move(symbol));
        form.items.push_back(SENV_TRY(datum(depth + 1)));
        return form;
    }

    Result<Datum> list(std::size_t depth, char close) {
        Datum form = here(Datum::Type::list);
        take();
        for (;;) {
            SENV_TRY(skip(depth + 1));
            if (done()) return fail(form, "a list begins here and does not end");
            if (peek() == close) {
                take();
                return form;
            }
            if (peek() == '.' && (at_ + 1 == text_.size() || is_in(delimiters, peek(1)))) {
                if (form.items.empty()) return fail("a dot with nothing in front of it");
                take();
                SENV_TRY(dotted(depth, close, form));
                return form;
            }
            form.items.push_back(SENV_TRY(datum(depth + 1)));
        }
    }

    // Behind the dot: one value, then the list's end.
    Result<void> dotted(std::size_t depth, char close, Datum& form) {
        SENV_TRY(skip(depth + 1));
        Datum last = SENV_TRY(datum(depth + 1));
        SENV_TRY(skip(depth + 1));
        if (done() || peek() != close) return fail("want the list's end behind the value after a dot");
        take();
        if (!last.is_list()) {
            form.tail.push_back(std::move(last));
            return {};
        }
        for (Datum& item : last.items) form.items.push_back(std::move(item));
        form.tail = std::move(last.tail);
        return {};
    }

    Result<Datum> string() {
        Datum datum = here(Datum::Type::string);
        take();
        for (;;) {
            if (done()) return fail(datum, "a string begins here and does not end");
            const char c = take();
            if (c == '"') return datum;
            if (c != '\\') {
                datum.text += c;
            } else {
                SENV_TRY(escape(datum));
            }
        }
    }

    // Behind the backslash.
    Result<void> escape(Datum& string) {
        static constexpr std::string_view names = "\"\\ntrabfv0(";
        static constexpr std::string_view values("\"\\\n\t\r\a\b\f\v\0(", 11);
        if (done()) return fail(string, "a string begins here and does not end");
        const char c = take();
        if (c == '\n') return {};
        if (const auto index = names.find(c); index != std::string_view::npos) {
            string.text += values[index];
            return {};
        }
        const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 6 : 0;
        if (digits == 0) return fail("'\\" + printable(std::string_view(&c, 1)) + "' is no escape");
        std::uint32_t code = 0;
        for (std::size_t i = 0; i < digits; ++i) {
            const auto value = hex_value(peek());
            if (done() || !value) return fail("want " + std::to_string(digits) + " hexadecimal digits");
            code = code * 16 + *value;
            take();
        }
        if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return fail("no such character");
        append_utf8(string.text, code);
        return {};
    }

    std::string_view raw_token() {
        const std::size_t start = at_;
        while (!done() && !is_in(delimiters, peek())) take();
        return text_.substr(start, at_ - start);
    }

    Result<Datum> token() {
        Datum datum = here(Datum::Type::symbol);
        const std::string_view text = raw_token();
        if (text == "." || text.find_first_of("|{}'`,\\") != std::string_view::npos) {
            return fail(datum, "cannot read '" + printable(text) + "'");
        }
        if (looks_like_number(text)) datum.type = Datum::Type::number;
        datum.text = text;
        return datum;
    }

    Result<Datum> hash() {
        Datum datum = here(Datum::Type::boolean);
        if (at("#\\")) {
            datum.type = Datum::Type::character;
            take(2);
            if (done()) return fail(datum, "want a character");
            const std::size_t start = at_;
            take();  // may be a delimiter: #\( is a character
            raw_token();
            datum.text = text_.substr(start, at_ - start);
            return datum;
        }
        const std::string_view text = raw_token();
        if (text == "#t" || text == "#true" || text == "#f" || text == "#false") {
            datum.truth = text[1] == 't';
            return datum;
        }
        if (text.starts_with("#:") && text.size() > 2) {
            datum.type = Datum::Type::keyword;
            datum.text = text.substr(2);
            return datum;
        }
        return fail(datum, "cannot read '" + printable(text.empty() ? text_.substr(at_, 1) : text) + "'");
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_ = 1;
    std::size_t line_start_ = 0;
    std::size_t count_ = 0;
};

}  // namespace

std::string Datum::place() const {
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Result<std::vector<Datum>> read_scheme(std::string_view text) {
    if (text.size() > max_scheme_bytes) {
        return Error(Kind::corrupt, "it has more than " + human_bytes(max_scheme_bytes));
    }
    return Reader(text).all();
}

std::string scheme_string(std::string_view text) {
    std::string literal = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') literal += '\\';
        literal += c;
    }
    return literal + '"';
}

}  // namespace senv
