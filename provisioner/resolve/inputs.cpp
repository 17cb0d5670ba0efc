#include "provisioner/resolve/inputs.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "cache/verify/digest.h"
#include "provisioner/resolve/closed.h"
#include "provisioner/resolve/config.h"
#include "provisioner/scheme_data.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

constexpr std::size_t max_source_bytes = std::size_t{1} << 20U;
constexpr std::size_t max_programs = 16;  // of one kind
constexpr std::size_t max_transformations = 100;
constexpr std::size_t max_word = 4096;
constexpr std::size_t max_expression = std::size_t{16} << 10U;
constexpr std::size_t max_packages = 1000;
constexpr std::size_t max_specification = 200;

// A change of what is cached, or of how a profile is made, begins a new series of keys.
constexpr std::string_view key_version = "senv 2";

// An option, and whether it is used.
struct Used {
    const char* option;
    bool yes;
    const char* alone = nullptr;  // why it cannot stand alone
};

Result<std::string> checked_specification(const std::string& specification) {
    const bool plain =
        !specification.empty() && specification.size() <= max_specification &&
        std::ranges::all_of(specification, [](char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; });
    if (plain) return specification;
    return Error(Kind::usage, "cannot use package '" + printable(specification) +
                                  "': want NAME, NAME@VERSION or NAME:OUTPUT, several with commas between them");
}

Result<std::string> checked_expression(const std::string& expression) {
    const std::string doing = "cannot use expression '" + printable(expression, 60) + "': ";
    if (expression.size() > max_expression) return Error(Kind::usage, doing + "it has more than 16384 bytes");
    std::string line = expression;
    std::ranges::replace_if(
        line, [](char c) { return c == '\n' || c == '\t'; }, ' ');
    if (printable(line, max_expression) != line) return Error(Kind::usage, doing + "it is not all UTF-8 text");
    return expression;
}

Result<void> check_number(const std::vector<std::string>& list, std::size_t most, const std::string& what) {
    if (list.size() <= most) return {};
    return Error(Kind::usage, "cannot use more than " + std::to_string(most) + " " + what);
}

Result<std::vector<std::string>> specifications_in(const std::vector<std::string>& texts) {
    std::vector<std::string> all;
    for (const std::string& text : texts) {
        for (const std::string_view one : split(text, ',')) {
            all.push_back(SENV_TRY(checked_specification(std::string(one))));
        }
    }
    SENV_TRY(check_number(all, max_packages, "packages"));
    return all;
}

Result<std::string> checked_transformation(const std::string& word) {
    const auto name = word.substr(0, word.find('='));
    const bool named = !name.empty() && name[0] != '-' && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (named && word.size() <= max_word && word.find(' ') == std::string::npos && printable(word, max_word) == word) {
        return word;
    }
    return Error(Kind::usage,
                 "cannot use transformation '" + printable(word) +
                     "': want words such as with-input=openmpi=mpich, as `guix shell` has them behind \"--\"");
}

Result<std::vector<std::string>> words_of(const Request& request) {
    std::vector<std::string> words;
    for (const std::string& text : request.transformations) {
        for (const std::string_view word : split(text, ' ')) {
            if (!word.empty()) words.emplace_back(word);
        }
    }
    if (words.empty() && !request.transformations.empty()) {
        return Error(Kind::usage, "cannot use " + request.option("transform") + " without a value");
    }
    if (!request.tune.empty()) words.push_back("tune=" + request.tune);
    if (!request.amd_gpu.empty()) words.push_back("amd-gpu=" + request.amd_gpu);
    for (const std::string& word : words) SENV_TRY(checked_transformation(word));
    SENV_TRY(check_number(words, max_transformations, "transformations"));
    return words;
}

Result<std::string> absolute(const std::string& name) {
    std::error_code error;
    const std::string path = std::filesystem::absolute(name, error).string();
    if (error) return Error::sys(error.value(), "cannot find the current folder");
    return path;
}

Result<std::string> checked_folder(const std::string& name) {
    std::error_code error;
    const std::string doing = "cannot use modules in '" + printable(name) + "'";
    const bool is_folder = std::filesystem::is_directory(name, error);
    if (is_folder) {
        SENV_TRY(check_may_be_used_by(::geteuid(), name).in(doing));
        return absolute(name).in(doing);
    }
    if (error) return Error::sys(error.value(), doing);
    return Error(Kind::missing, doing + ": it is no folder");
}

// All but files.
Result<Inputs> inputs_without_files(const Request& request, const std::string& system) {
    SENV_TRY(check_number(request.expressions, max_programs, "expressions"));
    SENV_TRY(check_number(request.load_path, max_programs, "folders with modules"));
    Inputs inputs;
    inputs.system = system;
    inputs.packages = SENV_TRY(specifications_in(request.packages));
    inputs.development = SENV_TRY(specifications_in(request.development));
    for (const std::string& e : request.expressions) inputs.expressions.push_back(SENV_TRY(checked_expression(e)));
    for (const std::string& dir : request.load_path) inputs.load_path.push_back(SENV_TRY(checked_folder(dir)));
    inputs.transformations = SENV_TRY(words_of(request));
    return inputs;
}

// A channel file of these commits.
std::string channel_program(const std::vector<LockedChannel>& channels) {
    std::string program = "(list";
    for (const LockedChannel& channel : channels) {
        program += "\n (channel (name '" + channel.name + ") (url " + scheme_string(channel.url) + ")";
        if (!channel.branch.empty()) program += " (branch " + scheme_string(channel.branch) + ")";
        program += " (commit " + scheme_string(channel.commit) + ")";
        if (channel.introduction) {
            program += "\n  (introduction (make-channel-introduction " + scheme_string(channel.introduction->commit) +
                       " (openpgp-fingerprint " + scheme_string(channel.introduction->signer) + ")))";
        }
        program += ")";
    }
    return program + ")\n";
}

// Under these names they stand in messages, and Guix gets copies of that name.
std::vector<SourceFile> sources_of(const std::vector<std::string>& texts, const std::string& what,
                                   const std::string& lock) {
    std::vector<SourceFile> sources;
    for (const std::string& text : texts) {
        const std::string name = what + " " + std::to_string(sources.size() + 1) + " of " + lock;
        sources.push_back({name, what + ".scm", text});
    }
    return sources;
}

}  // namespace

std::string Request::option(std::string_view name) const {
    return (for_slurm ? "--env-" : "--") + std::string(name);
}

Result<void> Request::check() const {
    if (rebuild && lock.empty()) {
        return Error(Kind::usage, "cannot use --rebuild without --lock: it makes the environment of a lock anew");
    }
    if (!build.empty()) SENV_TRY(parse_build(build).in("cannot use the value of " + option("build")));
    const Used whole[] = {{"lock", !lock.empty()}, {"profile", !profile.empty()}};
    const Used parts[] = {
        {"manifest", !manifests.empty()}, {"packages", !packages.empty()},      {"development", !development.empty()},
        {"file", !files.empty()},         {"expression", !expressions.empty()},
    };
    const Used modifiers[] = {
        {"channels", !channels.empty(), "it says where packages come from, not which"},
        {"load-path", !load_path.empty() && !rebuild, "it says where packages come from, not which"},
        {"transform", !transformations.empty(), "it says how packages are changed, not which"},
        {"tune", !tune.empty(), "it says how packages are changed, not which"},
        {"amd-gpu", !amd_gpu.empty(), "it says how packages are changed, not which"},
        {"build", !build.empty() && !rebuild, "it says what may be built, not what is wanted"},
        {"refresh", refresh, "it says when to resolve, not what"},
    };
    std::vector<std::string> used;
    for (const auto& options :
         {std::span<const Used>(whole), std::span<const Used>(parts), std::span<const Used>(modifiers)}) {
        for (const Used& o : options) {
            if (o.yes) used.push_back(option(o.option));
        }
    }
    const auto is_used = [](const Used& o) { return o.yes; };
    if (std::ranges::any_of(whole, is_used)) {
        if (used.size() == 1) return {};
        return Error(Kind::usage, "cannot use " + used[0] + " together with " + used[1] + ": " + used[0] +
                                      " names a whole environment")
            .hint(for_slurm
                      ? "leave one of them out; " + used[1] + "=none takes back what a variable or an #SBATCH line says"
                      : "leave one of them out");
    }
    if (std::ranges::any_of(parts, is_used)) return {};
    const std::string hint = "name a manifest with " + option("manifest") + " or packages with " + option("packages");
    if (const auto* first = std::ranges::find_if(modifiers, is_used); first != std::end(modifiers)) {
        return Error(Kind::usage, "cannot use " + used[0] + " alone: " + first->alone).hint(hint);
    }
    return Error(Kind::usage, "cannot resolve nothing: no manifest and no package is given").hint(hint);
}

FileKind likely_kind(std::string_view text) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    const auto has = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
    if (begin != std::string_view::npos && text[begin] == '{') {  // JSON, in which locks have the texts of others
        return has("\"senv-lock\"") ? FileKind::lock : FileKind::unknown;
    }
    // Manifests may name channels, too, and channel files are no place for manifests.
    if (has("->manifest") || has("(concatenate-manifests")) return FileKind::manifest;
    if (has("(channel") || has("%default-channels")) return FileKind::channels;
    return FileKind::unknown;
}

Error mistaken(const Request& request, const std::string& name, std::string_view wanted, FileKind kind) {
    const bool is_lock = kind == FileKind::lock;
    const std::string option = is_lock ? "lock" : kind == FileKind::manifest ? "manifest" : "channels";
    const std::string what = is_lock ? "a lock" : kind == FileKind::manifest ? "a manifest" : "a channel file";
    return Error(Kind::usage, "cannot use '" + printable(name) + "' as " + std::string(wanted) + ": it is " + what)
        .hint("give it with " + request.option(option) + "=" + printable(name));
}

Result<SourceFile> read_source(const std::string& name, std::string_view what, std::size_t limit) {
    const std::string doing = "cannot read " + std::string(what) + " '" + printable(name) + "'";
    auto text = read_small_file(name, limit);
    if (!text) {
        // "cannot open 'x': No such file" says the name twice.
        const std::string& cause = text.error().what();
        const auto at = cause.rfind("': ");
        Error error(text.error().kind(), doing + ": " + (at == std::string::npos ? cause : cause.substr(at + 3)));
        if (error.kind() == Kind::missing) {
            std::error_code gone;
            const std::string here = std::filesystem::current_path(gone).string();
            return std::move(error).hint("file names are relative to the current directory, " +
                                         (gone ? "which is not there any more" : here));
        }
        return error;
    }
    SourceFile file;
    file.name = name;
    file.absolute = SENV_TRY(absolute(name).in(doing));
    file.text = std::move(text).value();
    return file;
}

// What Guix is to evaluate.
Result<SourceFile> read_code(const std::string& name, std::string_view what) {
    const auto trusted = check_may_be_used_by(::geteuid(), name);
    if (!trusted && trusted.error().kind() != Kind::missing) {
        return Error(trusted.error()).in("cannot use " + std::string(what) + " '" + printable(name) + "'");
    }
    auto source = read_source(name, what, max_source_bytes);
    if (source && !trusted) return trusted.error();  // it was not there when it was looked at
    return source;
}

Result<Inputs> Inputs::read(const Request& request, const std::string& system) {
    SENV_TRY(request.check());
    SENV_TRY(check_number(request.manifests, max_programs, "manifests"));
    SENV_TRY(check_number(request.files, max_programs, "files"));
    const auto read = [&](const std::string& name, const std::string& what) -> Result<SourceFile> {
        SourceFile source = SENV_TRY(read_code(name, what));
        if (likely_kind(source.text) == FileKind::lock) return mistaken(request, name, what, FileKind::lock);
        return source;
    };
    Inputs inputs = SENV_TRY(inputs_without_files(request, system));
    for (const std::string& name : request.manifests) inputs.manifests.push_back(SENV_TRY(read(name, "manifest")));
    for (const std::string& name : request.files) inputs.files.push_back(SENV_TRY(read(name, "file")));
    if (!request.channels.empty()) inputs.channels = SENV_TRY(read(request.channels, "channel file"));
    return inputs;
}

Result<Inputs> Inputs::from_lock(const Lock& lock, const std::string& name, const std::vector<std::string>& load_path) {
    if (lock.channels.empty()) {
        return Error(Kind::missing, "it names no channels: the Guix that made it was not made by guix pull")
            .hint("make a lock with --channels");
    }
    if (lock.load_path != load_path.size()) {
        const std::string folders = lock.load_path == 1 ? " folder" : " folders";
        return Error(Kind::usage, "it was made with " + std::to_string(lock.load_path) + folders +
                                      " of modules, which no lock holds; " + std::to_string(load_path.size()) +
                                      " given")
            .hint("name the same ones with --load-path, in the same order");
    }
    Request request;
    request.packages = lock.packages;
    request.development = lock.development;
    request.expressions = lock.expressions;
    request.load_path = load_path;
    request.transformations = lock.transformations;
    Inputs inputs = SENV_TRY(inputs_without_files(request, lock.system));
    inputs.manifests = sources_of(lock.manifests, "manifest", name);
    inputs.files = sources_of(lock.files, "file", name);
    inputs.channels = {"the channels of " + name, "channels.scm", channel_program(lock.channels)};
    return inputs;
}

std::string Inputs::shown() const {
    std::vector<std::string> parts;
    for (const SourceFile& manifest : manifests) parts.push_back("'" + printable(manifest.name) + "'");
    if (!packages.empty()) parts.push_back("packages '" + printable(join(packages, ",")) + "'");
    if (!development.empty()) parts.push_back("the inputs of '" + printable(join(development, ",")) + "'");
    for (const SourceFile& file : files) parts.push_back("'" + printable(file.name) + "'");
    for (const std::string& e : expressions) parts.push_back("expression '" + printable(e, 60) + "'");
    return join(parts, " and ");
}

std::optional<std::string> Inputs::why_open() const {
    for (const auto* sources : {&manifests, &files}) {
        for (const SourceFile& source : *sources) {
            if (const auto why = why_manifest_is_open(source.text)) return printable(source.name) + ", " + *why;
        }
    }
    for (const std::string& e : expressions) {
        if (const auto why = why_manifest_is_open(e)) return "the expression, " + *why;
    }
    for (const std::string& word : transformations) {
        const auto end = std::min(word.find('='), word.size());
        if (!is_closed_transformation(word.substr(0, end),
                                      std::string_view(word).substr(std::min(end + 1, word.size())))) {
            return "transformation '" + printable(word) + "' may depend on more than it says";
        }
    }
    if (!load_path.empty()) return "the modules in '" + printable(load_path[0]) + "' may change";
    if (!channels) return std::nullopt;
    if (const auto why = why_channels_are_open(channels->text)) return printable(channels->name) + ", " + *why;
    return std::nullopt;
}

std::string Inputs::key(const std::vector<std::string>& identity) const {
    Sha256Stream digest;
    // Lengths in front, so that no two different lists look alike.
    const auto add = [&](std::string_view text) {
        digest.update(std::to_string(text.size()) + ":");
        digest.update(text);
    };
    const auto add_all = [&](const auto& list, const auto& part) {
        digest.update(std::to_string(list.size()) + ";");
        for (const auto& item : list) add(part(item));
    };
    const auto text_of = [](const SourceFile& file) -> const std::string& { return file.text; };
    const auto itself = [](const std::string& text) -> const std::string& { return text; };
    add(key_version);
    add(system);
    add_all(manifests, text_of);
    add_all(packages, itself);
    add_all(development, itself);
    add_all(files, text_of);
    add_all(expressions, itself);
    add_all(load_path, itself);
    add_all(transformations, itself);
    add_all(channels ? std::vector<std::string>{channels->text} : std::vector<std::string>(), itself);
    add_all(identity, itself);
    return digest.finish().hex();
}

Result<std::string> system_of_this_host() {
    utsname name{};
    if (::uname(&name) != 0) return Error::sys(errno, "cannot ask for the machine's architecture");
    const std::string machine = name.machine;
    static constexpr std::pair<std::string_view, std::string_view> systems[] = {
        {"x86_64", "x86_64-linux"},   {"aarch64", "aarch64-linux"}, {"ppc64le", "powerpc64le-linux"},
        {"riscv64", "riscv64-linux"}, {"armv7l", "armhf-linux"},    {"i686", "i686-linux"},
    };
    for (const auto& [ours, theirs] : systems) {
        if (machine == ours) return std::string(theirs);
    }
    return Error(Kind::missing, "cannot resolve for a machine of type '" + machine + "': Guix does not know it");
}

}  // namespace senv
