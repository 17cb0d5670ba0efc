#include "provisioner/resolve/resolve.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cache/base/text.h"
#include "provisioner/resolve/child.h"
#include "provisioner/resolve/given.h"
#include "provisioner/resolve/guix.h"
#include "provisioner/resolve/program.h"
#include "provisioner/trust.h"

namespace senv {

namespace {

// Nobody tells us when a Guix on another host changes.
constexpr std::chrono::hours remote_life(1);

std::string milliseconds(Clock::duration time) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

// How long each part of the work took.
class Phases {
public:
    /// What was done since the last call, or since the beginning.
    void did(const std::string& what) {
        const auto now = Clock::now();
        parts_.push_back(what + " " + milliseconds(now - last_));
        last_ = now;
    }
    std::string text() const { return join(parts_, ", "); }

private:
    Deadline last_ = Clock::now();
    std::vector<std::string> parts_;
};

// A file for Guix to read: the one that the user named, or a copy of what was read from it.
struct Handed {
    std::string path;
    const SourceFile* source;
};

enum class Sources : unsigned char { in_place, copied };

class Attempt {
public:
    Attempt(const Inputs& inputs, BuildPolicy policy, const Guix& guix, const Cache& cache, const Config& config,
            const Environment& environment, const ResolveOptions& options, const Signals& signals)
        : inputs_(inputs),
          policy_(std::move(policy)),
          guix_(guix),
          cache_(cache),
          config_(config),
          environment_(environment),
          options_(options),
          signals_(signals) {}

    Result<Lock> run(Sources sources, Phases& phases) {
        const WorkFolder work = SENV_TRY(cache_.make_work_folder());
        const auto manifests = SENV_TRY(hand(inputs_.manifests, sources, work, "manifest"));
        const auto files = SENV_TRY(hand(inputs_.files, sources, work, "file"));
        std::vector<SourceFile> channel_files;
        if (inputs_.channels) channel_files.push_back(*inputs_.channels);
        const auto channels = SENV_TRY(hand(channel_files, sources, work, "channels"));

        Progress progress("resolving " + plain_names() + " with Guix", options_.progress, Clock::now());
        const Watcher watch = [&](std::string_view line) { progress.saw(line, Clock::now()); };
        const Limits limits = {Clock::now() + config_.time_limit, config_.silence_limit};
        GuixSession session(guix_, environment_, limits, signals_, watch);

        std::string guix_profile = guix_.profile;
        std::string doing = "cannot resolve " + inputs_.shown();
        if (inputs_.channels) {
            doing += " with '" + printable(inputs_.channels->name) + "'";
            guix_profile = SENV_TRY(session.prepare_channels(*inputs_.channels, channels[0].path, doing));
            phases.did("channels");
        }
        SENV_TRY(build(session, work, manifests, files, channels, doing));
        for (const auto* handed : {&manifests, &files, &channels}) {
            for (const Handed& file : *handed) SENV_TRY(check_unchanged(file));
        }
        has_tuned_ = session.has_tuned();
        phases.did("profile");
        Lock lock = SENV_TRY(describe(session, work, guix_profile, doing));
        phases.did("lock");
        return lock;
    }

    /// Whether Guix tuned a package for a CPU in run().
    bool has_tuned() const noexcept { return has_tuned_; }

private:
    static Result<std::vector<Handed>> hand(const std::vector<SourceFile>& files, Sources sources,
                                            const WorkFolder& work, const std::string& kind) {
        std::vector<Handed> handed;
        for (const SourceFile& source : files) {
            std::error_code error;
            // Nothing lies beside a pipe, and it is empty now.
            if (sources == Sources::in_place && std::filesystem::is_regular_file(source.absolute, error)) {
                handed.push_back({source.absolute, &source});
                continue;
            }
            // Under its own name, which Guix repeats in messages.
            const std::string name = std::filesystem::path(source.absolute).filename().string();
            const std::string folder = kind + "-" + std::to_string(handed.size());
            handed.push_back({SENV_TRY(work.write(folder + "/" + name, source.text)), &source});
        }
        return handed;
    }

    static Result<void> check_unchanged(const Handed& file) {
        if (file.path != file.source->absolute) return {};
        Request again;
        again.manifests = {file.path};
        const auto now = Inputs::read(again, "");
        if (now && now.value().manifests[0].text == file.source->text) return {};
        return Error(Kind::busy, "cannot resolve '" + printable(file.source->name) + "': it changed while Guix read it")
            .hint("try again");
    }

    std::string plain_names() const {
        std::vector<std::string> names;
        for (const SourceFile& manifest : inputs_.manifests) names.push_back(printable(manifest.name));
        names.insert(names.end(), inputs_.packages.begin(), inputs_.packages.end());
        names.insert(names.end(), inputs_.development.begin(), inputs_.development.end());
        for (const SourceFile& file : inputs_.files) names.push_back(printable(file.name));
        for (const std::string& expression : inputs_.expressions) names.push_back(printable(expression, 60));
        return join(names, ", ");
    }

    static std::vector<std::string> paths_of(const std::vector<Handed>& handed) {
        std::vector<std::string> paths;
        for (const Handed& file : handed) paths.push_back(file.path);
        return paths;
    }

    Result<void> build(GuixSession& session, const WorkFolder& work, const std::vector<Handed>& manifests,
                       const std::vector<Handed>& files, const std::vector<Handed>& channels,
                       const std::string& doing) {
        std::vector<std::pair<std::string, std::string>> names;
        for (const auto* handed : {&manifests, &files, &channels}) {
            for (const Handed& file : *handed) names.emplace_back(file.path, file.source->name);
        }
        const std::string program = SENV_TRY(
            work.write("profile.scm", profile_program(inputs_, paths_of(manifests), paths_of(files), policy_)));
        names.emplace_back(program, "");
        const auto channel_file = channels.empty() ? std::nullopt : std::optional(channels[0].path);
        profile_ =
            SENV_TRY(session.build(program, work.path() + "/root", inputs_, policy_.build, channel_file, names, doing));
        return {};
    }

    Result<Lock> describe(GuixSession& session, const WorkFolder& work, const std::string& guix_profile,
                          const std::string& doing) {
        const Cache::Root root = SENV_TRY(cache_.make_root(*profile_, guix_.remote));
        if (!root.registered) {
            options_.warn("the GC root is " + root.link +
                          ": a guix-daemon that cannot read it may collect the environment while a job waits");
        }
        Lock lock = {*profile_};
        lock.system = inputs_.system;
        lock.packages = inputs_.packages;
        lock.development = inputs_.development;
        for (const SourceFile& file : inputs_.files) lock.files.push_back(file.text);
        lock.expressions = inputs_.expressions;
        lock.load_path = inputs_.load_path.size();
        lock.transformations = inputs_.transformations;
        for (const SourceFile& manifest : inputs_.manifests) lock.manifests.push_back(manifest.text);
        if (inputs_.channels) lock.channel_file = inputs_.channels->text;
        const std::string script = SENV_TRY(work.write("describe.scm", describe_script()));
        SENV_TRY(session.describe(script, root.registered ? "" : root.link, guix_profile, lock, doing));
        return lock;
    }

    const Inputs& inputs_;
    const BuildPolicy policy_;
    const Guix& guix_;
    const Cache& cache_;
    const Config& config_;
    const Environment& environment_;
    const ResolveOptions& options_;
    const Signals& signals_;
    std::optional<StorePath> profile_;
    bool has_tuned_ = false;
};

std::optional<std::string> why_open(const Inputs& inputs, const Environment& environment) {
    if (auto why = inputs.why_open()) return why;
    if (!value_of(environment, "GUIX_PACKAGE_PATH").empty()) return "GUIX_PACKAGE_PATH is set";
    return std::nullopt;
}

Result<BuildPolicy> policy_of(const Request& request, const Config& config) {
    const Build build = request.build.empty() ? config.build : SENV_TRY(parse_build(request.build));
    return BuildPolicy{build, "let it be built with " + request.option("build") + "=here"};
}

/// The request with the CPU that "auto" stands for.
Result<Request> tuned(Request request, const Config& config, const ResolveOptions& options) {
    if (request.tune != "auto") return request;
    const std::string option = request.option("tune");
    auto found = config.tuning.cpu_for(request.destination);
    if (!found) {
        const std::string where = ", or partition and constraint on the command line or in variables of Slurm's";
        return std::move(found)
            .error()
            .in("cannot use " + option + "=auto")
            .hint("give " + option + "=CPU" + (request.for_slurm ? where : ""));
    }
    options.say("tuned for " + found->cpu + ": " + found->reason);
    request.tune = found->cpu;
    return request;
}

/// Guix says of a file that is another kind than it was given as what Guile stumbles over in it.
Error explained(Error error, const Request& request, const Inputs& inputs) {
    if (error.kind() != Kind::missing) return error;
    if (inputs.channels && likely_kind(inputs.channels->text) == FileKind::manifest) {
        return mistaken(request, inputs.channels->name, "channel file", FileKind::manifest);
    }
    for (const auto& [sources, what] : {std::pair(&inputs.manifests, "manifest"), std::pair(&inputs.files, "file")}) {
        for (const SourceFile& source : *sources) {
            const auto kind = likely_kind(source.text);
            if (kind != FileKind::channels && (kind != FileKind::manifest || sources == &inputs.manifests)) continue;
            return mistaken(request, source.name, what, kind);
        }
    }
    return error;
}

/// The lock that the request names.
Result<GivenLock> lock_of(const Request& request) {
    auto given = given_lock(request.lock);
    if (given) return given;
    const auto text = read_small_file(request.lock, max_lock_bytes);
    const auto kind = text ? likely_kind(*text) : FileKind::unknown;
    if (kind == FileKind::unknown || kind == FileKind::lock) return given;
    return mistaken(request, request.lock, "lock", kind);
}

Result<Resolved> rebuild(const Request& request, const Config& config, const Environment& environment,
                         const ResolveOptions& options) {
    const std::string name = printable(request.lock);
    const std::string doing = "cannot rebuild '" + name + "'";
    SENV_TRY(check_may_be_used_by(::geteuid(), request.lock).in(doing));
    const GivenLock given = SENV_TRY(lock_of(request));
    const Inputs inputs = SENV_TRY(Inputs::from_lock(given.lock, name, request.load_path).in(doing));
    if (const auto open = why_open(inputs, environment)) {
        options.warn("the lock does not hold all that decides what it makes: " + *open);
    }
    const Guix guix = SENV_TRY(Guix::find(config, environment).in(doing));
    const Cache cache = SENV_TRY(Cache::open(environment).in(doing));
    const Signals signals = SENV_TRY(Signals::hold());
    cache.remove_unused(config.unused_limit);
    Attempt attempt(inputs, SENV_TRY(policy_of(request, config)), guix, cache, config, environment, options, signals);
    Phases phases;
    const Lock made = SENV_TRY(attempt.run(Sources::copied, phases));

    auto lines = differences(given.lock, made);
    if (lines.empty()) return Resolved{given.known, false, phases.text()};
    const std::string differing = listed(std::move(lines));
    if (made.profile == given.lock.profile) {
        return Error(Kind::corrupt, doing + ": Guix makes the same profile of it, but not the same items" + differing);
    }
    return Error(Kind::corrupt, doing + ": Guix makes another environment of it" + differing)
        .hint("compare them with `senv diff " + name + " " + made.profile.absolute() + "`");
}

/// An environment that is there already is used.
Resolved used(Known known, const std::string& how, const Config& config, const Environment& environment) {
    const bool made = keep_root(known.resolution.profile, environment, std::string(store_prefix));
    // Who only ever uses locks has roots that are not used any more, too.
    if (const auto cache = made ? Cache::open(environment) : Result<Cache>(Error(Kind::missing, "no new root"))) {
        cache->remove_unused(config.unused_limit);
    }
    return {std::move(known), false, how};
}

Result<Resolved> answer(const Request& request, const Config& config, const Environment& environment,
                        const ResolveOptions& options) {
    SENV_TRY(request.check());
    if (request.rebuild) return rebuild(request, config, environment, options);
    if (!request.lock.empty()) {
        return used(SENV_TRY(lock_of(request)).known, "from a lock", config, environment);
    }
    if (!request.profile.empty()) {
        return used(SENV_TRY(known_from_profile(request.profile)), "from a profile", config, environment);
    }
    const Request tuned_request = SENV_TRY(tuned(request, config, options));
    const Inputs inputs = SENV_TRY(Inputs::read(tuned_request, SENV_TRY(system_of_this_host())));
    const std::string doing = "cannot resolve " + inputs.shown();
    const Cache cache = SENV_TRY(Cache::open(environment).in(doing));

    // Pinned channels say all about the Guix that answers; then it need not even be here.
    auto guix = Guix::find(config, environment);
    std::vector<std::string> identity = {value_of(environment, "GUIX_DAEMON_SOCKET")};
    if (!inputs.channels || config.guix_is_remote) {
        if (!guix) return std::move(guix).error().in(doing);
        identity.insert(identity.end(), guix.value().identity.begin(), guix.value().identity.end());
    }
    const auto open = why_open(inputs, environment);
    const std::string key = inputs.key(identity);
    const auto life = config.guix_is_remote ? std::optional<std::chrono::seconds>(remote_life) : std::nullopt;
    const auto find = [&]() -> std::optional<Resolved> {
        if (open || request.refresh) return std::nullopt;
        auto known = cache.find(key, life, options.want, guix ? Cache::Guix::here : Cache::Guix::none);
        return known ? std::optional<Resolved>({*std::move(known), true, "from the cache"}) : std::nullopt;
    };
    if (open) options.say("resolved each time: " + *open);
    if (auto found = find()) return *std::move(found);
    if (!guix) return std::move(guix).error().in(doing);

    // Outlives everything that cleans up.
    const Signals signals = SENV_TRY(Signals::hold());
    Fd reservation;
    if (!open) {
        Progress progress("waiting for another senv that resolves the same", options.progress, Clock::now());
        reservation = SENV_TRY(cache.reserve(key, signals, [&] { progress.saw("", Clock::now()); }).in(doing));
        if (auto found = find()) return *std::move(found);
    }
    cache.remove_unused(config.unused_limit);
    Attempt attempt(inputs, SENV_TRY(policy_of(request, config)), guix.value(), cache, config, environment, options,
                    signals);
    Phases phases;
    auto made = attempt.run(open ? Sources::in_place : Sources::copied, phases);
    if (!made) return explained(std::move(made).error(), request, inputs);
    const Lock& lock = *made;
    const auto is_tune = [](const std::string& word) { return word.starts_with("tune="); };
    const bool untuned = std::ranges::any_of(inputs.transformations, is_tune) && !attempt.has_tuned();
    return Resolved{SENV_TRY(cache.keep(lock, open ? std::nullopt : std::optional(key), untuned).in(doing)), false,
                    phases.text()};
}

}  // namespace

Result<std::vector<LockedItem>> closure_in_guix(const StorePath& profile, const Config& config,
                                                const Environment& environment, Progress::Mode mode,
                                                const std::string& doing) {
    const auto guix = Guix::find(config, environment);
    if (!guix) {
        return Error(guix.error()).in(doing).hint("run it where Guix is, or name its command with `guix` in senv.toml");
    }
    const auto cache = Cache::open(environment);  // services have no HOME
    const Signals signals = SENV_TRY(Signals::hold());
    const WorkFolder work = SENV_TRY(cache ? cache->make_work_folder() : WorkFolder::temporary());
    const std::string script = SENV_TRY(work.write("describe.scm", describe_script()));
    Progress progress("asking Guix about " + profile.absolute(), mode, Clock::now());
    const Watcher watch = [&](std::string_view line) { progress.saw(line, Clock::now()); };
    const Limits limits = {Clock::now() + config.time_limit, config.silence_limit};
    GuixSession session(*guix, environment, limits, signals, watch);
    Lock told = {profile};
    SENV_TRY(session.describe(script, "", "", told, doing));
    return std::move(told.closure);
}

Result<Resolved> resolve(const Request& request, const Config& config, const Environment& environment,
                         const ResolveOptions& options) {
    const auto begin = Clock::now();
    Resolved resolved = SENV_TRY(answer(request, config, environment, options));
    if (resolved.known.untuned) {
        options.warn("nothing in this environment can be tuned for a CPU: " + request.option("tune") +
                     " changes nothing");
    }
    options.say("resolved in " + milliseconds(Clock::now() - begin) + ": " + resolved.how);
    return resolved;
}

}  // namespace senv
