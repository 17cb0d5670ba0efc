#include "provisioner/resolve/config.h"

#include <toml++/toml.h>

#include <sstream>

#include "cache/base/fd.h"
#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_config_bytes = std::size_t{1} << 20U;
constexpr double most_seconds = 3600.0 * 24 * 7;
constexpr double most_days = 3650;

class Reader {
public:
    explicit Reader(std::string path) : path_(std::move(path)) {}

    Result<Config> read(const toml::table& table) const {
        Config config;
        for (const auto& [key, node] : table) {
            if (key == "guix") {
                SENV_TRY(command(node, config));
            } else if (key == "resolve_limit") {
                config.time_limit = SENV_TRY(seconds(key, node));
            } else if (key == "silence_limit") {
                config.silence_limit = SENV_TRY(seconds(key, node));
            } else if (key == "unused_days") {
                const double days = SENV_TRY(number(key, node, most_days));
                config.unused_limit = std::chrono::hours(static_cast<std::int64_t>(days * 24));
            } else {
                return bad(key, node, "there is no such setting");
            }
        }
        return config;
    }

    Error bad(std::string_view key, const toml::node& node, const std::string& cause) const {
        return {Kind::usage, "cannot use setting '" + printable(key) + "' in '" + path_ + "', line " +
                                 std::to_string(node.source().begin.line) + ": " + cause};
    }

private:
    Result<void> command(const toml::node& node, Config& config) const {
        const std::string want = "want a command, or a list of a command and its arguments";
        if (const auto* name = node.as_string(); name != nullptr && !name->get().empty()) {
            config.guix = {name->get()};
            return {};
        }
        const auto* list = node.as_array();
        if (list == nullptr || list->empty()) return bad("guix", node, want);
        config.guix.clear();
        config.guix_is_remote = true;
        for (const toml::node& word : *list) {
            if (!word.is_string() || word.as_string()->get().empty()) return bad("guix", node, want);
            config.guix.push_back(word.as_string()->get());
        }
        return {};
    }

    Result<double> number(std::string_view key, const toml::node& node, double most) const {
        const auto value = node.value<double>();
        if (!node.is_number() || !value || !(*value > 0) || *value > most) {
            return bad(key, node, "want a number above 0, at most " + std::to_string(static_cast<int>(most)));
        }
        return *value;
    }

    Result<std::chrono::milliseconds> seconds(std::string_view key, const toml::node& node) const {
        const double value = SENV_TRY(number(key, node, most_seconds));
        return std::chrono::milliseconds(static_cast<std::int64_t>(value * 1000));
    }

    std::string path_;
};

}  // namespace

Result<Config> Config::parse(std::string_view text, const std::string& path) {
    try {
        return Reader(path).read(toml::parse(text, path));
    } catch (const toml::parse_error& error) {
        return Error(Kind::usage, "cannot read '" + path + "', line " + std::to_string(error.source().begin.line) +
                                      ": " + std::string(error.description()));
    }
}

Result<Config> Config::load(const std::string& path) {
    const auto text = read_small_file(path, max_config_bytes);
    if (text) return parse(text.value(), path);
    if (text.error().kind() == Kind::missing) return Config();
    return text.error();
}

}  // namespace senv
