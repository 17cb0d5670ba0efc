// log.h: senvd's log: one line per event on stderr, "time=… level=… event=… key=value …".
//
// Shape    A value that is empty or holds blanks, quotes or bytes that are not printable is written as "…", escaped; values
//          are cut at 4 KiB. A line is written with one write(2), so lines of several threads do not mix.
// Trust    Callers give no credentials and no query strings; control bytes are escaped here.
// Keys     mean the same in every event: profile and item are store paths; job, step and uid say for whom, 0 where it was not
//          said; bytes are of nar; origin is a URL of the configuration. What several wait for names the job of one of them.
//          Errors end with kind, error and perhaps hint.
// Events   by what they are about. tests/source/events holds this table against the code: level, event, keys.
//
//   a request
//     info    pending          profile job step uid              an environment is not complete: it is being fetched
//     info    provisioned      profile job step uid warm us      it was given; warm=yes: it was complete
//     warning not-provisioned  profile job step uid kind         it was not: see `failed`
//     info    prefetch         profile job step uid warm         a prolog asked for it
//     warning refused          request job step uid + error      not tried
//     info    released         profile job step uid              root took the lease: it keeps nothing any more
//     warning not-answered     request + error                   of the requests about the node
//   an environment
//     info    complete         profile job step items bytes fetched_items fetched_bytes ms
//     error   failed           profile job step + error
//     info    abandoned        profile job step                  nobody had waited for it for some seconds
//   an item, a server
//     info    fetched          item job step bytes origin ms
//     warning nar-refused      item job step origin + error      another server is asked
//     warning unreachable      origin + error                    it is asked last for a while
//     info    reachable        origin                            it answers again
//   the store
//     info    evicted          profiles items bytes disk_bytes why
//     warning not-evicted      + error                           although the disk is above its high water mark
//     info    pinned           profile
//     info    unpinned         profile
//     warning damaged          item + error                      it is not as signed: it counts as missing
//     info    repaired         item                              it came anew
//     warning not-repaired     item + error
//     warning unreadable       item + error                      it could not be checked; nothing else follows from that
//     info    verified         checked bytes damaged repaired unreadable
//     warning sync             + error                           tried again
//   senvd
//     info    starting         version state_dir downloads nice cpus
//     info    ready            version socket items bytes
//     info    stopping
//     info    stopped
//     warning stop             + error                           the next start has more to check
//     info    sandbox          landlock seccomp                  how what talks to servers is confined
//     warning sandbox          landlock seccomp missing          and what is lacking
//     error   fetcher          + error                           what talks to servers cannot go on; fetcher-lost follows
//     warning fetcher-lost     again_ms + error                  what talks to servers is started anew, then
//     info    fetcher-renewed  why
//     warning fips             libgcrypt note
//     info    acl              keys
//     error   acl              + error                           nothing can be fetched
//     warning catalog-rebuilt  items_hashed
//     warning checked-after-reboot  items_hashed
//     warning pins-lost        lines
//     warning lease-unread     file                              somebody holds it: nothing is evicted until it is free
//     warning removed-at-start name
//     warning metrics-file     + error                           said once until it can be written again
//     error   client           + error                           a connection was dropped
//     error   internal         + error                           something was not done; senvd goes on
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "cache/base/result.h"

namespace senv {

enum class Level : unsigned char { info, warning, error };

struct Field {
    Field(std::string_view field_key, std::string_view text) : key(field_key), value(text) {}
    Field(std::string_view field_key, std::uint64_t number) : key(field_key), value(std::to_string(number)) {}
    std::string_view key;
    std::string value;
};

/// `at`: seconds since 1970. Pure.
std::string log_line(std::int64_t at, Level level, std::string_view event, std::initializer_list<Field> fields);

void log(Level level, std::string_view event, std::initializer_list<Field> fields) noexcept;

/// An error as two fields, "error" and "hint", after `fields`.
void log_error(Level level, std::string_view event, const Error& error,
               std::initializer_list<Field> fields = {}) noexcept;

}  // namespace senv
