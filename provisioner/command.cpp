#include "provisioner/command.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "provisioner/close_names.h"

// Of the program or plugin that this code is in; the linker has the name.
extern "C" __attribute__((visibility("hidden"))) const ElfW(Ehdr) __ehdr_start;

namespace senv {

namespace {

constexpr std::size_t max_looked_at = 64;
constexpr std::size_t max_folders = 64;
constexpr std::size_t max_names = 20000;

// Those of `path` below `profile`, each once.
std::vector<std::string_view> folders_below(std::string_view profile, std::string_view path) {
    const std::string begin = std::string(profile) + "/";
    std::vector<std::string_view> folders;
    for (const auto folder : split(path, ':')) {
        if (folders.size() == max_folders) break;
        if (folder.starts_with(begin) && std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
    }
    return folders;
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
    if (!dir) return names;
    while (const dirent* entry = ::readdir(dir.get())) {
        if (names.size() == max_names) break;
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    return names;
}

// As the header of an ELF file has it; nothing when it is another file.
std::optional<unsigned> machine_of(const std::string& file) {
    const auto fd = open_file(file, O_RDONLY | O_NONBLOCK);
    std::array<unsigned char, 20> begin = {};
    if (!fd || ::read(fd->get(), begin.data(), begin.size()) != static_cast<ssize_t>(begin.size())) return std::nullopt;
    if (std::memcmp(begin.data(), ELFMAG, SELFMAG) != 0) return std::nullopt;
    const bool is_big = begin[EI_DATA] == ELFDATA2MSB;
    return unsigned{begin[is_big ? 19 : 18]} + 256U * begin[is_big ? 18 : 19];
}

std::string name_of_machine(unsigned machine) {
    switch (machine) {
        case EM_X86_64: return "x86_64";
        case EM_386: return "i686";
        case EM_AARCH64: return "aarch64";
        case EM_ARM: return "armhf";
        case EM_PPC64: return "powerpc64le";
        case EM_RISCV: return "riscv64";
        default: return "machine " + std::to_string(machine);
    }
}

// Stopped before its first instruction. Also when it cannot be found out.
bool kernel_executes(const std::string& file) {
    char* words[] = {const_cast<char*>(file.c_str()), nullptr};
    char* nothing[] = {nullptr};
    const pid_t child = ::fork();
    if (child == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) ::execve(words[0], words, nothing);
        ::_exit(errno == ENOEXEC ? 1 : 0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        return !WIFEXITED(status) || WEXITSTATUS(status) == 0;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return true;
}

}  // namespace

Result<void> check_machine(const std::string& profile) {
    auto names = names_in(profile + "/bin");
    if (names.size() > max_looked_at) names.resize(max_looked_at);
    for (const auto& name : names) {
        const std::string file = profile + "/bin/" + name;
        const auto machine = machine_of(file);
        if (!machine) continue;
        if (*machine == __ehdr_start.e_machine || kernel_executes(file)) return {};
        return Error(Kind::missing, "its programs are made for " + name_of_machine(*machine) + ", which this host (" +
                                        name_of_machine(__ehdr_start.e_machine) + ") cannot execute")
            .hint("make the environment on a host of this architecture");
    }
    return {};
}

bool can_be_found(std::string_view command, std::string_view path) {
    if (command.find('/') != std::string_view::npos) return true;
    const auto is_file = [&](const std::string& file) {
        struct stat info {};
        return ::stat(file.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
    };
    const std::string name(command);
    return std::ranges::any_of(split(path, ':'),
                               [&](auto folder) { return is_file(std::string(folder) + "/" + name); }) ||
           is_file(name);
}

std::vector<std::string> close_commands(std::string_view command, std::string_view path, std::string_view profile) {
    std::vector<std::string> names;
    for (const auto folder : folders_below(profile, path)) {
        for (auto& name : names_in(std::string(folder))) names.push_back(std::move(name));
    }
    return close_names(command, names);
}

}  // namespace senv
