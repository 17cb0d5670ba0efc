#include "provisioner/resolve/closed.h"

#include <algorithm>
#include <set>
#include <vector>

#include "cache/base/text.h"
#include "provisioner/scheme_data.h"

namespace senv {

namespace {

using Names = std::set<std::string, std::less<>>;

// Procedures whose value follows from their arguments and the channels.
const Names& pure_procedures() {
    static const Names names = {// (guix profiles), (gnu packages), (guix packages)
                                "specifications->manifest", "packages->manifest", "concatenate-manifests", "manifest",
                                "package->manifest-entry", "package->development-manifest", "specification->package",
                                "specification->package+output", "specifications->packages", "manifest-entries",
                                // Guile and (srfi srfi-1); none that would call an argument
                                "list", "cons", "cons*", "append", "reverse", "concatenate", "string-append", "not",
                                "eq?", "equal?", "string=?", "null?", "car", "cdr", "first", "second", "last"};
    return names;
}

// Of those that call their first argument.
const Names& pure_mappers() {
    static const Names names = {"map", "append-map", "filter", "filter-map", "remove", "apply"};
    return names;
}

// Transformation options that need nothing but their text and the channels.
const Names& closed_transformations() {
    static const Names names = {
        "with-input",          "with-graft", "with-c-toolchain", "with-debug-info", "without-tests",
        "with-configure-flag", "tune",       "amd-gpu"};
    return names;
}

bool is_list_of_symbols(const Datum& datum) {
    return datum.is_proper_list() &&
           std::ranges::all_of(datum.items, [](const Datum& item) { return item.type == Datum::Type::symbol; });
}

bool is_known_module(const Datum& name) {
    if (!is_list_of_symbols(name) || name.items.empty()) return false;
    const std::string& first = name.items[0].text;
    const std::string second = name.items.size() > 1 ? name.items[1].text : "";
    if (first == "gnu") return name.items.size() == 1 || second == "packages";
    if (first == "guix") {
        return name.items.size() == 2 && (second == "profiles" || second == "packages" || second == "transformations");
    }
    if (first == "srfi") return second == "srfi-1";
    // Everything else that comes with Guile can reach out; what is left are channels' own modules.
    static const Names guile = {"guile", "ice-9", "rnrs",    "scheme",   "system",  "web",
                                "oop",   "sxml",  "texinfo", "language", "scripts", "statprof"};
    return guile.count(first) == 0;
}

// ((gnu packages base) #:select (hello)): names that stay what they are.
bool is_part_of_known_module(const Datum& datum) {
    return datum.is_proper_list() && datum.items.size() == 3 && is_known_module(datum.items[0]) &&
           datum.items[1].type == Datum::Type::keyword && datum.items[1].text == "select" &&
           is_list_of_symbols(datum.items[2]);
}

class Manifest {
public:
    std::optional<std::string> check(std::string_view text) {
        const auto data = read_scheme(text);
        if (!data) return data.error().what();
        for (const Datum& datum : data.value()) expression(datum, Names());
        return why_;
    }

private:
    void open(const Datum& where, const std::string& cause) {
        if (!why_) why_ = where.place() + ": " + cause;
    }
    void open_call(const Datum& where) {
        const std::string name = where.type == Datum::Type::symbol ? "'" + printable(where.text, 60) + "'" : "this";
        open(where, name + " may depend on more than the manifest says");
    }

    // `local`: names of parameters and let variables around it, which are values of unknown kind.
    void expression(const Datum& datum, const Names& local) {
        if (why_) return;
        if (datum.type == Datum::Type::symbol) return value(datum, local);
        if (!datum.is_list()) return;
        if (!datum.is_proper_list() || datum.items.empty()) return open(datum, "not a simple expression");
        const Datum& head = datum.items[0];
        if (head.type != Datum::Type::symbol) {
            // ((lambda …) …)
            callable(head, local);
            return arguments(datum, 1, local);
        }
        if (is_local(head.text, local)) return open_call(head);
        if (head.text == "quote") return;
        if (head.text == "quasiquote") return quasi(datum, local);
        if (head.text == "use-modules") return modules(datum);
        if (head.text == "define") return define(datum, local);
        if (head.text == "lambda") return lambda(datum, local);
        if (head.text == "let" || head.text == "let*") return let(datum, local);
        if (head.text == "@") return module_value(datum);
        if (head.text == "begin" || head.text == "if" || head.text == "and" || head.text == "or") {
            return arguments(datum, 1, local);
        }
        if (head.text == "options->transformation") return transformation(datum);
        if (head.text == "compose") {
            for (std::size_t i = 1; i < datum.items.size(); ++i) callable(datum.items[i], local);
            return;
        }
        if (pure_mappers().count(head.text) != 0 && datum.items.size() > 1) {
            callable(datum.items[1], local);
            return arguments(datum, 2, local);
        }
        callable(head, local);
        arguments(datum, 1, local);
    }

    void arguments(const Datum& form, std::size_t from, const Names& local) {
        for (std::size_t i = from; i < form.items.size(); ++i) expression(form.items[i], local);
    }

    static bool is_local(const std::string& name, const Names& local) { return local.count(name) != 0; }

    // A name that is not called. %load-path and its like hold what the process was started with.
    void value(const Datum& symbol, const Names& local) {
        if (is_local(symbol.text, local) || procedures_.count(symbol.text) != 0) return;
        if (symbol.text.starts_with('%')) open_call(symbol);
    }

    // What stands where something is called.
    void callable(const Datum& datum, const Names& local) {
        if (why_) return;
        if (datum.is_form("lambda") || datum.is_form("compose") || datum.is_form("options->transformation")) {
            return expression(datum, local);
        }
        if (datum.type != Datum::Type::symbol || is_local(datum.text, local) ||
            (pure_procedures().count(datum.text) == 0 && procedures_.count(datum.text) == 0)) {
            open_call(datum);
        }
    }

    static bool is_taken(const std::string& name) {
        static const Names forms = {"quote",
                                    "quasiquote",
                                    "unquote",
                                    "unquote-splicing",
                                    "use-modules",
                                    "define",
                                    "lambda",
                                    "let",
                                    "let*",
                                    "@",
                                    "begin",
                                    "if",
                                    "and",
                                    "or",
                                    "options->transformation",
                                    "compose"};
        return forms.count(name) != 0 || pure_procedures().count(name) != 0 || pure_mappers().count(name) != 0;
    }

    // Adds a name that the text binds. One that means something to us must keep its meaning.
    void bind(const Datum& name, Names& names) {
        if (name.type != Datum::Type::symbol) return open(name, "want a name");
        if (is_taken(name.text)) return open(name, "'" + printable(name.text, 60) + "' gets another meaning");
        names.insert(name.text);
    }

    // (define NAME VALUE), (define (NAME PARAMETER…) BODY…): at the top only.
    void define(const Datum& form, const Names& local) {
        if (form.items.size() < 3 || !local.empty()) return open(form, "not a simple definition");
        const Datum& target = form.items[1];
        if (target.is_list()) {
            if (!target.is_proper_list() || target.items.empty()) return open(form, "not a simple definition");
            Names parameters;
            for (std::size_t i = 1; i < target.items.size(); ++i) bind(target.items[i], parameters);
            bind(target.items[0], procedures_);
            parameters.insert(std::string());  // inside a body, even of a procedure without parameters
            return arguments(form, 2, parameters);
        }
        if (form.items.size() != 3) return open(form, "not a simple definition");
        const Datum& what = form.items[2];
        expression(what, local);
        const bool is_procedure =
            what.is_form("lambda") || what.is_form("compose") || what.is_form("options->transformation");
        bind(target, is_procedure ? procedures_ : values_);
        // A name cannot be a procedure of the text's and something else.
        if (procedures_.count(target.text) != 0 && values_.count(target.text) != 0) open(form, "defined twice");
    }

    void lambda(const Datum& form, const Names& local) {
        if (form.items.size() < 3 || !form.items[1].is_proper_list()) return open(form, "not a simple lambda");
        Names inner = local;
        for (const Datum& parameter : form.items[1].items) bind(parameter, inner);
        inner.insert(std::string());
        arguments(form, 2, inner);
    }

    void let(const Datum& form, const Names& local) {
        if (form.items.size() < 3 || !form.items[1].is_proper_list()) return open(form, "not a simple let");
        Names inner = local;
        for (const Datum& binding : form.items[1].items) {
            if (!binding.is_proper_list() || binding.items.size() != 2) return open(binding, "not a simple let");
            expression(binding.items[1], inner);
            bind(binding.items[0], inner);
        }
        inner.insert(std::string());
        arguments(form, 2, inner);
    }

    void quasi(const Datum& datum, const Names& local) {
        if (!datum.is_list() || why_) return;
        if (datum.is_form("unquote") || datum.is_form("unquote-splicing")) return arguments(datum, 1, local);
        // The head is data here, also where it looks like a nested quasiquote.
        for (const Datum& item : datum.items) quasi(item, local);
        for (const Datum& item : datum.tail) quasi(item, local);
    }

    void modules(const Datum& form) {
        for (std::size_t i = 1; i < form.items.size(); ++i) {
            const Datum& module = form.items[i];
            if (is_known_module(module) || is_part_of_known_module(module)) continue;
            open(module, "this module may depend on more than the channels");
        }
    }

    // (@ (gnu packages base) hello)
    void module_value(const Datum& form) {
        if (form.items.size() != 3 || !is_known_module(form.items[1]) || form.items[2].type != Datum::Type::symbol) {
            open(form, "this module may depend on more than the channels");
        }
    }

    // (options->transformation '((OPTION . "VALUE") …))
    void transformation(const Datum& form) {
        const std::string cause = "not a transformation that the manifest alone decides";
        if (form.items.size() != 2 || !form.items[1].is_form("quote") || form.items[1].items.size() != 2 ||
            !form.items[1].items[1].is_proper_list()) {
            return open(form, cause);
        }
        for (const Datum& option : form.items[1].items[1].items) {
            if (!option.is_list() || option.items.size() != 1 || option.items[0].type != Datum::Type::symbol ||
                option.tail.size() != 1 || !option.tail[0].is_string() ||
                !is_closed_transformation(option.items[0].text, option.tail[0].text)) {
                return open(option, cause);
            }
        }
    }

    Names procedures_;  // of the text
    Names values_;
    std::optional<std::string> why_;
};

bool is_commit(const Datum& datum) {
    return datum.is_string() && datum.text.size() == 40 &&
           std::ranges::all_of(datum.text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// (FIELD VALUE) in (channel …)
std::optional<std::string> why_channel_is_open(const Datum& channel) {
    if (!channel.is_form("channel")) return channel.place() + ": want (channel …)";
    bool named = false;
    bool located = false;
    bool pinned = false;
    for (std::size_t i = 1; i < channel.items.size(); ++i) {
        const Datum& field = channel.items[i];
        const auto is = [&](std::string_view name) { return field.is_form(name) && field.items.size() == 2; };
        if (is("name") && field.items[1].is_form("quote")) {
            named = true;
        } else if (is("url") && field.items[1].is_string()) {
            located = true;
        } else if (is("commit") && is_commit(field.items[1])) {
            pinned = true;
        } else if (is("branch") && field.items[1].is_string()) {
            continue;
        } else if (is("introduction") && field.items[1].is_form("make-channel-introduction") &&
                   field.items[1].items.size() == 3 && field.items[1].items[1].is_string() &&
                   field.items[1].items[2].is_form("openpgp-fingerprint") &&
                   field.items[1].items[2].items.size() == 2 && field.items[1].items[2].items[1].is_string()) {
            continue;
        } else {
            return field.place() + ": not a plain field with a value of its own";
        }
    }
    if (!pinned) return channel.place() + ": the channel has no commit of 40 hexadecimal digits";
    if (!named || !located) return channel.place() + ": the channel has no name or no url";
    return std::nullopt;
}

}  // namespace

bool is_closed_transformation(std::string_view name, std::string_view value) {
    return closed_transformations().count(name) != 0 && !value.empty() && value != "native";
}

std::optional<std::string> why_manifest_is_open(std::string_view text) {
    return Manifest().check(text);
}

std::optional<std::string> why_channels_are_open(std::string_view text) {
    const auto data = read_scheme(text);
    if (!data) return data.error().what();
    const Datum* list = nullptr;
    for (const Datum& datum : data.value()) {
        if (datum.is_form("use-modules") && datum.items.size() == 2 && datum.items[1].is_form("guix") &&
            datum.items[1].items.size() == 2 && datum.items[1].items[1].is_symbol("channels")) {
            continue;
        }
        if (list != nullptr) return datum.place() + ": more than a list of channels";
        list = &datum;
    }
    if (list == nullptr || !list->is_form("list") || list->items.size() < 2) return "want (list (channel …) …)";
    for (std::size_t i = 1; i < list->items.size(); ++i) {
        if (auto why = why_channel_is_open(list->items[i])) return why;
    }
    return std::nullopt;
}

}  // namespace senv
