// export_command.cpp: `senv export`.
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "cache/verify/signature.h"
#include "provisioner/cli/commands.h"
#include "provisioner/export.h"
#include "provisioner/resolve/resolve.h"

namespace senv {

namespace {

constexpr std::size_t max_key_bytes = 65536;

struct Options {
    std::string lock;
    std::string folder;
    std::string key = "/etc/guix/signing-key.sec";
    std::string store = "/gnu/store";
    bool json = false;
};

Result<SigningKey> read_key(const std::string& file) {
    const std::string doing = "cannot sign with '" + file + "'";
    auto text = read_small_file(file, max_key_bytes);
    if (text) return SigningKey::parse(*text).in(doing);
    Error failed = std::move(text).error().in(doing);
    if (failed.kind() == Kind::missing) {
        return std::move(failed).hint("make one with `guix archive --generate-key`, or name another with --key");
    }
    return std::move(failed).hint("run it as who may read that key, or name another with --key");
}

std::string absolute(const std::string& folder) {
    struct Free {
        void operator()(char* text) const noexcept { std::free(text); }
    };
    const std::unique_ptr<char, Free> real(::realpath(folder.c_str(), nullptr));
    return real ? real.get() : folder;
}

Result<Exported> export_with_progress(const StorePath& profile, const std::vector<LockedItem>& closure,
                                      const SigningKey& key, const Options& options) {
    Progress progress("exporting '" + options.lock + "'", progress_mode(false), Clock::now());
    return export_closure(profile, closure, key, {options.store, options.folder}, [&](const ExportProgress& at) {
        progress.is_at(std::to_string(at.items) + " of " + std::to_string(at.all_items) + " items, " +
                           human_bytes(at.bytes) + " of " + human_bytes(at.all_bytes),
                       Clock::now());
    });
}

Result<int> export_command(const Options& options, const GlobalOptions& global) {
    const std::string text = SENV_TRY(read_small_file(options.lock, max_lock_bytes));
    const Lock lock = SENV_TRY(Lock::read(text).in("cannot use the lock '" + printable(options.lock) + "'"));
    const SigningKey key = SENV_TRY(read_key(options.key));
    const std::string doing = "cannot export '" + printable(options.lock) + "'";
    const Config config = SENV_TRY(Config::load(global.config));
    const auto closure =
        SENV_TRY(closure_in_guix(lock.profile, config, environment_from(environ), progress_mode(false), doing));
    SENV_TRY(check_lock(lock, closure).in(doing));
    SENV_TRY(init_signatures());
    const Exported done = SENV_TRY(export_with_progress(lock.profile, closure, key, options));
    const std::string folder = absolute(options.folder);
    std::string shown;
    if (options.json) {
        const nlohmann::ordered_json json = {{"senv-export", 1},
                                             {"profile", lock.profile.absolute()},
                                             {"origin", "file://" + folder},
                                             {"items", done.items},
                                             {"bytes", done.bytes},
                                             {"written", done.written},
                                             {"file_bytes", done.file_bytes}};
        shown = json.dump(1) + "\n";
    } else {
        shown = std::to_string(done.items) + " items (" + human_bytes(done.bytes) + ") are in '" + folder + "'; " +
                std::to_string(done.written) + " of them were written (" + human_bytes(done.file_bytes) +
                ", compressed)\nas an origin of senvd: file://" + folder + "\n";
    }
    SENV_TRY(write_all(STDOUT_FILENO, shown).in("cannot write the result"));
    return 0;
}

}  // namespace

void add_export_command(CLI::App& app, const GlobalOptions& global, Action& action) {
    const auto options = std::make_shared<Options>();
    CLI::App* command =
        app.add_subcommand("export", "Write a lock's items into a folder that nodes can use as an origin");
    command->add_option("LOCK", options->lock, "A lock, as `senv lock` writes it")->required();
    command->add_option("DIR", options->folder, "The folder; it may hold other locks' items already")->required();
    command->add_option("--key", options->key, "The key that signs, as `guix archive --generate-key` makes it")
        ->type_name("FILE")
        ->capture_default_str();
    command->add_option("--store", options->store, "Where the items are")->type_name("DIR")->capture_default_str();
    command->add_flag("--json", options->json, "Print what was done as JSON");
    command->footer(
        "Runs on a host with Guix, as who may read the key. The folder can be on a file system that the nodes mount\n"
        "(in senvd.toml: origins = [\"file:///FOLDER\"]) or be served by any web server. Nodes use it when the key's\n"
        "public half is in their list of authorised keys. Signed is what Guix's database says of the items; a lock\n"
        "that says anything else is refused.\n\n"
        "Examples:\n"
        "  senv lock -m manifest.scm -C channels.scm -o environment.lock\n"
        "  sudo senv export environment.lock /srv/senv-cache");
    command->callback(
        [&global, &action, options] { action = [&global, options] { return export_command(*options, global); }; });
}

}  // namespace senv
