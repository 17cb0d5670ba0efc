// progress.h: says on stderr what a person is waiting for, calmly.
//
// Shape    Nothing in the first two seconds. Then, on a terminal, one line that is rewritten every second and disappears at
//          the end; elsewhere a line every ten seconds:
//            senv: resolving manifest.scm with Guix … 12 s, building hello-2.12
//          What is about to be built is listed at once, and the line stays:
//            senv: no server has these, they are built here: hello-2.12
//          verbose: Guix's own lines as they come, instead.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "cache/base/fd.h"

namespace senv {

class Progress {
public:
    enum class Mode : unsigned char { silent, lines, terminal, verbose };

    /// `what`: "resolving manifest.scm with Guix".
    Progress(std::string what, Mode mode, Deadline now);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

    /// A line of Guix's messages; an empty one only lets time pass.
    void saw(std::string_view line, Deadline now);

    /// What is being done: "12 of 300 items". Time passes, too.
    void is_at(std::string doing, Deadline now);

private:
    void show(Deadline now);
    void clear();

    std::string what_;
    Mode mode_;
    Deadline begin_;
    Deadline next_;
    std::string doing_;
    bool shown_ = false;
};

/// For stderr: terminal or lines, or verbose if asked for.
Progress::Mode progress_mode(bool verbose);

/// What Guix is doing according to one of its lines: "building hello-2.12"; empty when the line does not say. Pure.
std::string activity(std::string_view line);

}  // namespace senv
