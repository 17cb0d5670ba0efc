#include "provisioner/jobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>
#include <thread>

#include "cache/base/fd.h"
#include "cache/base/text.h"

namespace senv {

namespace {

constexpr off_t full = off_t{1} << 20;
constexpr std::size_t max_file = std::size_t{2} << 20U;
constexpr std::chrono::seconds patience{2};

Result<bool> is_called(const std::string& path, const Fd& file) {
    struct stat named {};
    struct stat opened {};
    if (::fstat(file.get(), &opened) != 0) return Error::sys(errno, "cannot look at '" + path + "'");
    return ::stat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/// The file for another line, locked.
Result<Fd> open_locked(const std::string& path) {
    const Deadline deadline = Clock::now() + patience;
    while (Clock::now() < deadline) {
        Fd file = SENV_TRY(open_file(path, O_RDWR | O_CREAT | O_APPEND, 0600));
        const bool is_locked = SENV_TRY(try_lock(file.get(), 0, 0).in("cannot use '" + path + "'"));
        // Meanwhile it may have become the old one.
        if (is_locked && SENV_TRY(is_called(path, file))) return file;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return Error(Kind::busy, "cannot lock '" + path + "' within two seconds");
}

/// `folder` and those above it. What cannot be made is told by opening.
void make_folders(const std::string& folder) {
    for (auto end = folder.find('/', 1); end != std::string::npos; end = folder.find('/', end + 1)) {
        ::mkdir(folder.substr(0, end).c_str(), 0777);
    }
    ::mkdir(folder.c_str(), 0777);
}

/// Whether the file's last line is a part of one: whoever wrote it did not come to its end.
bool ends_within_line(const Fd& file, off_t size) {
    char last = '\n';
    return size > 0 && ::pread(file.get(), &last, 1, size - 1) == 1 && last != '\n';
}

std::string line_of(const SubmittedJob& job) {
    return job.time + " " + job.cluster + " " + std::to_string(job.number) + " " + job.resolution.encode() + "\n";
}

std::optional<SubmittedJob> parse(std::string_view line, std::string_view number) {
    const auto words = split(line, ' ');
    if (words.size() < 4 || words[2] != number) return std::nullopt;
    auto resolution = Resolution::parse(line.substr(static_cast<std::size_t>(words[3].data() - line.data())));
    if (!resolution) return std::nullopt;
    const auto parsed = parse_decimal(number);
    return SubmittedJob{std::string(words[0]), std::string(words[1]), static_cast<std::uint32_t>(*parsed),
                        *std::move(resolution)};
}

}  // namespace

std::optional<std::uint32_t> job_number(std::string_view name) {
    const auto end = name.find_first_of("_+");
    const auto digits = name.substr(0, end);
    const auto number = parse_decimal(digits);
    if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
    if (std::to_string(*number) != digits) return std::nullopt;  // 007
    if (end != std::string_view::npos) {
        const auto part = name.substr(end + 1);
        const bool is_list = name[end] == '_' && part.starts_with('[') && part.ends_with(']');
        if (!is_list && !parse_decimal(part)) return std::nullopt;
    }
    return static_cast<std::uint32_t>(*number);
}

Result<std::string> cache_folder(const Environment& environment) {
    const std::string base = value_of(environment, "XDG_CACHE_HOME");
    if (base.starts_with('/')) return base + "/senv";
    const std::string home = value_of(environment, "HOME");
    if (!home.starts_with('/')) {
        return Error(Kind::missing,
                     "cannot find the cache folder: HOME is not set, and the passwd entry of this user names no home");
    }
    return home + "/.cache/senv";
}

std::string utc_time(std::int64_t seconds_since_1970) {
    const std::time_t time = seconds_since_1970;
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text.data();
}

Result<void> remember_job(const std::string& folder, const SubmittedJob& job) {
    const std::string path = folder + "/jobs";
    make_folders(folder);
    Fd file = SENV_TRY(open_locked(path));
    struct stat info {};
    if (::fstat(file.get(), &info) == 0 && info.st_size >= full) {
        if (::rename(path.c_str(), (path + ".old").c_str()) != 0)
            return Error::sys(errno, "cannot rename '" + path + "'");
        file = SENV_TRY(open_locked(path));
    }
    const off_t end = ::lseek(file.get(), 0, SEEK_END);
    const std::string start = ends_within_line(file, end) ? "\n" : "";
    auto written = write_all(file.get(), start + line_of(job)).in("cannot write '" + path + "'");
    // Half a line would spoil the next one.
    if (!written) static_cast<void>(::ftruncate(file.get(), end));
    return written;
}

Result<std::vector<SubmittedJob>> jobs_called(const std::string& folder, std::uint32_t number) {
    std::vector<SubmittedJob> found;
    for (const char* name : {"/jobs", "/jobs.old"}) {
        const auto text = read_small_file(folder + name, max_file);
        if (!text && text.error().kind() == Kind::missing) continue;
        if (!text) return text.error();
        auto lines = split(*text, '\n');
        std::ranges::reverse(lines);
        for (const auto line : lines) {
            if (auto job = parse(line, std::to_string(number))) found.push_back(*std::move(job));
        }
    }
    return found;
}

}  // namespace senv
