#include "provisioner/pattern.h"

#include <algorithm>
#include <array>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_text_bytes = 6000;
constexpr std::size_t max_states = 6000;
constexpr unsigned max_depth = 100;
constexpr std::uint32_t max_count = 32767;  // RE_DUP_MAX
constexpr std::uint32_t unlimited = UINT32_MAX;

// The classes of the C locale: each two bytes are the ends of a range.
struct Class {
    const char* name;
    const char* ranges;
};
constexpr std::array<Class, 12> classes = {{{"alnum", "09AZaz"},
                                            {"alpha", "AZaz"},
                                            {"blank", "  \t\t"},
                                            {"cntrl", "\x01\x1f\x7f\x7f"},
                                            {"digit", "09"},
                                            {"graph", "!~"},
                                            {"lower", "az"},
                                            {"print", " ~"},
                                            {"punct", "!/:@[`{~"},
                                            {"space", "  \t\r"},
                                            {"upper", "AZ"},
                                            {"xdigit", "09AFaf"}}};
constexpr const char* word_ranges = "09AZaz__";
constexpr const char* space_ranges = "  \t\r";

void add_range(std::bitset<256>& bytes, char first, char last) {
    for (unsigned c = static_cast<unsigned char>(first); c <= static_cast<unsigned char>(last); ++c) bytes.set(c);
}

void add_ranges(std::bitset<256>& bytes, const char* ranges) {
    for (; *ranges != '\0'; ranges += 2) add_range(bytes, ranges[0], ranges[1]);
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_alnum(char c) noexcept {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

// Text becomes parts, then parts become states. It is in the plugin, so it is written to be small: parts are numbers,
// and the first error is kept and ends the text.
class Pattern::Compiler {
public:
    Compiler(Pattern& pattern, std::string_view text) : pattern_(pattern), text_(text) {}

    // What is wrong, or null.
    const char* run() {
        if (text_.size() > max_text_bytes) return "it has more than 6000 bytes";
        if (text_.find('\0') != text_.npos) return "it holds a NUL byte";
        parts_.emplace_back();
        const Number whole = either(0);  // takes all: what closes nothing is an ordinary character
        if (cause_ == nullptr) pattern_.start_ = states_of(whole, state(State::Type::match, 0));
        return cause_;
    }

private:
    using Number = std::uint32_t;
    static constexpr Number nothing = 0;  // the part that matches the empty text

    struct Part {
        enum class Type : unsigned char { nothing, bytes, begin, end, sequence, either, repeat };
        Type type = Type::nothing;
        bool has_anchor = false;
        Number first = nothing;   // bytes: which of sets_
        Number second = nothing;  // sequence, either
        std::uint32_t min = 0;    // repeat
        std::uint32_t max = 0;    // repeat; may be unlimited
        std::size_t states = 0;   // that it will have; only what matches nothing but the empty text has none
    };
    struct Count {
        std::uint32_t min;
        std::uint32_t max;
    };

    bool done() const noexcept { return at_ == text_.size(); }
    bool at(char c) const noexcept { return !done() && text_[at_] == c; }
    bool at(std::string_view token) const noexcept { return text_.substr(at_).starts_with(token); }
    bool take(char c) noexcept {
        if (!at(c)) return false;
        ++at_;
        return true;
    }
    Number fail(const char* cause) noexcept {
        if (cause_ == nullptr) cause_ = cause;
        at_ = text_.size();
        return nothing;
    }

    Number add(const Part& part) {
        if (part.states > max_states) return fail("with its counts written out it has more than 6000 characters");
        parts_.push_back(part);
        return static_cast<Number>(parts_.size() - 1);
    }
    Number add_bytes(const Bytes& bytes) {
        auto& sets = pattern_.sets_;
        const auto place = std::find(sets.begin(), sets.end(), bytes);
        Part part{Part::Type::bytes};
        part.first = static_cast<Number>(place - sets.begin());
        part.states = 1;
        if (place == sets.end()) sets.push_back(bytes);
        return add(part);
    }
    Number add_anchor(Part::Type type) {
        Part part{type, true};
        part.states = 1;
        return add(part);
    }
    // A sequence, or a choice.
    Number add_both(Part::Type type, Number first, Number second) {
        if (type == Part::Type::sequence && first == nothing) return second;
        if (type == Part::Type::sequence && second == nothing) return first;
        const Part& a = parts_[first];
        const Part& b = parts_[second];
        Part part{type, a.has_anchor || b.has_anchor, first, second};
        part.states = a.states + b.states + (type == Part::Type::either ? 1 : 0);
        return add(part);
    }
    Number add_repeat(Number body, Count count) {
        Part part = parts_[body];
        if (part.states == 0 || count.max == 0) return nothing;
        if (part.has_anchor && count.max > 1) return fail("'^' or '$' is inside of what is repeated");
        const auto is_simple = [](Count c) { return c.min <= 1 && (c.max == 1 || c.max == unlimited); };
        if (part.type == Part::Type::repeat && is_simple({part.min, part.max}) && is_simple(count)) {
            body = part.first;  // "a+?" is "a*"
            count = {std::min(part.min, count.min), std::max(part.max, count.max)};
        }
        part = Part{Part::Type::repeat, part.has_anchor, body};
        part.min = count.min;
        part.max = count.max;
        const std::size_t states = parts_[body].states;
        const bool is_loop = count.max == unlimited;
        part.states = is_loop ? std::max(count.min, 1U) * states + 1 : count.max * states + (count.max - count.min);
        return add(part);
    }

    // ---- The text, as POSIX's grammar has it

    Number either(unsigned depth) {
        Number whole = sequence(depth);
        while (take('|')) whole = add_both(Part::Type::either, whole, sequence(depth));
        return whole;
    }

    Number sequence(unsigned depth) {
        Number whole = nothing;
        while (!done() && !at('|') && (depth == 0 || !at(')'))) {
            whole = add_both(Part::Type::sequence, whole, repeated(depth));
        }
        return whole;
    }

    Number repeated(unsigned depth) {
        if (take('^')) return add_anchor(Part::Type::begin);
        if (take('$')) return add_anchor(Part::Type::end);
        Number part = single(depth);
        for (;;) {
            if (take('*')) {
                part = add_repeat(part, {0, unlimited});
            } else if (take('+')) {
                part = add_repeat(part, {1, unlimited});
            } else if (take('?')) {
                part = add_repeat(part, {0, 1});
            } else if (take('{')) {
                part = add_repeat(part, braces());
            } else {
                return part;
            }
        }
    }

    // After the brace: "2}", "2,}", ",3}" or "2,3}".
    Count braces() {
        Count count{0, unlimited};
        const bool has_min = number(count.min);
        const bool is_range = take(',');
        if (!is_range) {
            count.max = count.min;
        } else {
            number(count.max);
        }
        if (done()) fail("a '{' is not closed");
        if (!take('}') || (!has_min && !is_range)) fail("a count is not {n}, {n,}, {,m} or {n,m}");
        if (count.min > count.max) fail("a count ends below its beginning");
        if (count.min > max_count || (count.max > max_count && count.max != unlimited)) fail("a count is above 32767");
        return cause_ == nullptr ? count : Count{0, 0};
    }

    bool number(std::uint32_t& value) {
        const std::size_t begin = at_;
        for (; !done() && is_digit(text_[at_]); ++at_) {
            const auto digit = static_cast<std::uint32_t>(text_[at_] - '0');
            value = at_ == begin ? digit : std::min(value * 10 + digit, max_count + 1);
        }
        return at_ > begin;
    }

    Number single(unsigned depth) {
        const char c = text_[at_++];
        Bytes bytes;
        switch (c) {
            case '*':
            case '+':
            case '?':
            case '{': return fail("nothing stands before a '*', '+', '?' or '{'");
            case '(': return group(depth + 1);
            case '[': return brackets();
            case '\\': return escape();
            case '.': return add_bytes(bytes.set());
            default: return add_bytes(bytes.set(static_cast<unsigned char>(c)));
        }
    }

    Number group(unsigned depth) {
        if (depth > max_depth) return fail("more than 100 '(' are inside each other");
        const Number part = either(depth);
        return take(')') ? part : fail("a '(' is not closed");
    }

    Number escape() {
        if (done()) return fail("it ends with a '\\'");
        const char c = text_[at_++];
        Bytes bytes;
        if (c == 'w' || c == 'W' || c == 's' || c == 'S') {
            add_ranges(bytes, c == 'w' || c == 'W' ? word_ranges : space_ranges);
            return add_bytes(c == 'W' || c == 'S' ? ~bytes : bytes);
        }
        if (c >= '1' && c <= '9') return fail("back-references are not supported");
        if (is_alnum(c) || c == '<' || c == '>' || c == '`' || c == '\'') {
            return fail("'\\' before a letter, a digit or one of <>`' is not supported");
        }
        return add_bytes(bytes.set(static_cast<unsigned char>(c)));
    }

    // After the bracket.
    Number brackets() {
        const bool is_negated = take('^');
        Bytes bytes;
        for (bool is_first = true; is_first || !at(']'); is_first = false) {
            if (done()) return fail("a '[' is not closed");
            if (at("[:")) {
                add_class(bytes);
                continue;
            }
            if (at('-') && !is_first && !at("-]")) {
                return fail("a '-' in brackets stands neither first nor last nor between two characters");
            }
            const bool can_begin_range = !at("[=");
            const char first = character();
            char last = first;
            if (can_begin_range && at('-') && !at("-]")) {
                ++at_;
                if (at("[:") || at("[=")) return fail("a range in brackets ends with a class");
                last = character();
            }
            if (static_cast<unsigned char>(first) > static_cast<unsigned char>(last)) {
                return fail("a range in brackets ends below its beginning");
            }
            add_range(bytes, first, last);
        }
        ++at_;
        return add_bytes(is_negated ? ~bytes : bytes);
    }

    // The name in "[:alpha:]", "[=a=]" or "[.a.]".
    std::string_view name() {
        const std::array<char, 2> close = {text_[at_ + 1], ']'};
        const std::size_t begin = at_ + 2;
        const std::size_t end = text_.find(std::string_view(close.data(), 2), begin);
        if (end == text_.npos) {
            fail("a name in brackets is not closed");
            return {};
        }
        at_ = end + 2;
        return text_.substr(begin, end - begin);
    }

    void add_class(Bytes& bytes) {
        const std::string_view wanted = name();
        for (const Class& one : classes) {
            if (wanted == one.name) return add_ranges(bytes, one.ranges);
        }
        fail("there is no class of that name");
    }

    // One that stands for itself in brackets.
    char character() {
        if (at("[=") || at("[.")) {
            const std::string_view only = name();
            if (only.size() == 1) return only[0];
            fail("there is no character of that name");
        }
        if (!done()) return text_[at_++];
        fail("a '[' is not closed");
        return '\0';
    }

    // ---- The states: from the last to the first, each part is told where to go on

    std::uint32_t state(State::Type type, std::uint32_t next, std::uint32_t other = 0) {
        pattern_.states_.push_back({type, next, other});
        return static_cast<std::uint32_t>(pattern_.states_.size() - 1);
    }

    // The state where the part begins. Deep where the text has parentheses; long sequences and choices are loops.
    std::uint32_t states_of(Number number, std::uint32_t next) {
        Part part = parts_[number];
        for (; part.type == Part::Type::sequence; part = parts_[part.first]) next = states_of(part.second, next);
        switch (part.type) {
            case Part::Type::bytes: return state(State::Type::bytes, next, part.first);
            case Part::Type::begin: return state(State::Type::begin, next);
            case Part::Type::end: return state(State::Type::end, next);
            case Part::Type::repeat: return repeat_states_of(part, next);
            case Part::Type::either: break;
            default: return next;
        }
        std::uint32_t chosen = states_of(part.second, next);
        for (; parts_[part.first].type == Part::Type::either; part = parts_[part.first]) {
            chosen = state(State::Type::either, states_of(parts_[part.first].second, next), chosen);
        }
        return state(State::Type::either, states_of(part.first, next), chosen);
    }

    std::uint32_t repeat_states_of(const Part& part, std::uint32_t next) {
        std::uint32_t copies = part.min;
        if (part.max == unlimited) {
            const std::uint32_t loop = state(State::Type::either, 0, next);
            const std::uint32_t begin = states_of(part.first, loop);
            pattern_.states_[loop].next = begin;
            next = copies == 0 ? loop : begin;
            if (copies > 0) --copies;
        } else {
            const std::uint32_t end = next;
            for (std::uint32_t i = part.min; i < part.max; ++i) {
                next = state(State::Type::either, states_of(part.first, next), end);
            }
        }
        for (; copies > 0; --copies) next = states_of(part.first, next);
        return next;
    }

    Pattern& pattern_;
    std::string_view text_;
    std::size_t at_ = 0;
    const char* cause_ = nullptr;
    std::vector<Part> parts_;
};

Result<Pattern> Pattern::compile(std::string_view text) {
    Pattern pattern;
    if (const char* cause = Compiler(pattern, text).run(); cause != nullptr) {
        return Error(Kind::usage, "'" + printable(text) + "' is not a regular expression: " + cause);
    }
    return pattern;
}

// The states that the automaton is in, between two bytes of the text.
class Pattern::Run {
public:
    explicit Run(const Pattern& pattern) : pattern_(pattern), seen_(pattern.states_.size()) {}

    // Also is in `state`, and in what it leads to without a byte. Whether that is a match.
    bool enter(std::uint32_t state, bool is_begin, bool is_end) {
        todo_.push_back(state);
        while (!todo_.empty()) {
            const std::uint32_t number = todo_.back();
            todo_.pop_back();
            if (seen_[number] == place_) continue;
            seen_[number] = place_;
            const State& at = pattern_.states_[number];
            switch (at.type) {
                case State::Type::match: return true;
                case State::Type::bytes: next_.push_back(number); break;
                case State::Type::begin:
                    if (is_begin) todo_.push_back(at.next);
                    break;
                case State::Type::end:
                    if (is_end) todo_.push_back(at.next);
                    break;
                case State::Type::either:
                    todo_.push_back(at.next);
                    todo_.push_back(at.other);
                    break;
            }
        }
        return false;
    }

    // Takes a byte; `is_end`: it was the last. Whether that is a match.
    bool take(unsigned char byte, bool is_end) {
        current_.swap(next_);
        next_.clear();
        ++place_;
        return std::ranges::any_of(current_, [&](std::uint32_t number) {
            const State& at = pattern_.states_[number];
            return pattern_.sets_[at.other][byte] && enter(at.next, false, is_end);
        });
    }

private:
    const Pattern& pattern_;
    std::vector<std::size_t> seen_;  // the place at which a state was entered last
    std::size_t place_ = 1;
    std::vector<std::uint32_t> current_;
    std::vector<std::uint32_t> next_;
    std::vector<std::uint32_t> todo_;
};

bool Pattern::matches(std::string_view text) const {
    Run run(*this);
    if (run.enter(start_, true, text.empty())) return true;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool is_end = i + 1 == text.size();
        if (run.take(static_cast<unsigned char>(text[i]), is_end) || run.enter(start_, false, is_end)) return true;
    }
    return false;
}

}  // namespace senv
