#include "provisioner/doctor/plugstack.h"

#include <glob.h>

#include <filesystem>

#include "cache/base/fd.h"
#include "cache/base/text.h"

namespace senv {

namespace {

constexpr std::size_t max_file_bytes = std::size_t{1} << 20U;
constexpr unsigned max_depth = 16;  // of files that include files

std::vector<std::string> words_of(std::string_view line) {
    for (auto at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1)) {
        if (at == 0 || line[at - 1] != '\\') line = line.substr(0, at);
    }
    constexpr std::string_view blanks = " \t\r";
    std::vector<std::string> words;
    for (auto begin = line.find_first_not_of(blanks); begin != std::string_view::npos;) {
        const auto end = line.find_first_of(blanks, begin);
        words.emplace_back(line.substr(begin, end - begin));
        begin = line.find_first_not_of(blanks, end);
    }
    return words;
}

std::vector<std::string> files_like(const std::string& pattern) {
    glob_t found{};
    std::vector<std::string> files;
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    return files;
}

Result<void> collect(const std::string& file, unsigned depth, std::vector<PluginLine>& lines) {
    if (depth > max_depth) return Error(Kind::corrupt, "cannot read '" + file + "': files include each other");
    const std::string text = SENV_TRY(read_small_file(file, max_file_bytes));
    unsigned number = 0;
    for (const std::string_view line : split(text, '\n')) {
        ++number;
        const std::vector<std::string> words = words_of(line);
        if (words.size() < 2) continue;
        if (words[0] == "include") {
            const auto pattern = std::filesystem::path(file).parent_path() / words[1];
            for (const std::string& included : files_like(pattern)) SENV_TRY(collect(included, depth + 1, lines));
        }
        if (words[0] != "required" && words[0] != "optional") continue;
        const auto name = std::filesystem::path(words[1]).filename();
        if (name != "spank_senv.so" && name != "spank_senv_prolog.so") continue;
        lines.push_back({file, number, words[0] == "required", words[1], {words.begin() + 2, words.end()}});
    }
    return {};
}

}  // namespace

Result<std::vector<PluginLine>> senv_plugins(const std::string& plugstack) {
    std::vector<PluginLine> lines;
    SENV_TRY(collect(plugstack, 0, lines));
    return lines;
}

}  // namespace senv
