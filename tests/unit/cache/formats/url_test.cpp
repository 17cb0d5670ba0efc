// resolve_url: where the bytes of a nar may be fetched from.
#include "cache/formats/narinfo.h"
#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

struct Resolved {
    const char* name;
    const char* origin;
    const char* url;
    const char* want;
};
void PrintTo(const Resolved& row, std::ostream* out) {
    *out << row.origin << " + " << row.url;
}

class ResolveUrl : public testing::TestWithParam<Resolved> {};

TEST_P(ResolveUrl, IsAccepted) {
    const auto resolved = resolve_url(GetParam().origin, GetParam().url);
    ASSERT_THAT(resolved, test::IsOk());
    EXPECT_EQ(*resolved, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Url, ResolveUrl,
    testing::Values(Resolved{"Relative", "http://h", "nar/zstd/x", "http://h/nar/zstd/x"},
                    Resolved{"OneSlashBetween", "http://h/", "nar/x", "http://h/nar/x"},
                    Resolved{"BelowAPath", "https://h:8443/guix//", "nar/x", "https://h:8443/guix/nar/x"},
                    Resolved{"Query", "http://h", "nar/x?hash=../y", "http://h/nar/x?hash=../y"},
                    Resolved{"Encoded", "http://h", "nar/gtk%2B-3", "http://h/nar/gtk%2B-3"},
                    Resolved{"ColonInALaterSegment", "http://h", "nar/a:b", "http://h/nar/a:b"},
                    Resolved{"DotsInsideAName", "http://h", "nar/..x/y..", "http://h/nar/..x/y.."},
                    Resolved{"SameServer", "http://h/guix", "http://h/nar/x", "http://h/nar/x"},
                    Resolved{"SameServerOtherSpelling", "http://H:80", "HTTP://h/nar/x", "HTTP://h/nar/x"},
                    Resolved{"ImpliedPortOfHttps", "https://h", "https://h:443/nar/x", "https://h:443/nar/x"},
                    Resolved{"Ipv6", "http://[::1]:8080", "http://[::1]:8080/nar/x", "http://[::1]:8080/nar/x"}),
    [](const auto& one) { return std::string(one.param.name); });

struct Refused {
    const char* name;
    Kind kind;
    std::string url;
    const char* cause;
};
void PrintTo(const Refused& row, std::ostream* out) {
    *out << row.url;
}

class ResolveUrlRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ResolveUrlRefuses, Url) {
    EXPECT_THAT(resolve_url("http://h/guix", GetParam().url), FailsWith(GetParam().kind, GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(
    Url, ResolveUrlRefuses,
    testing::Values(Refused{"File", Kind::denied, "file:///etc/passwd", "want http or https"},
                    Refused{"Ftp", Kind::denied, "ftp://h/x", "want http or https"},
                    Refused{"Scheme", Kind::denied, "javascript:x", "want http or https"},
                    Refused{"OtherHost", Kind::denied, "http://198.51.100.1/x", "it is on another server"},
                    Refused{"OtherPort", Kind::denied, "http://h:8080/x", "it is on another server"},
                    Refused{"OtherScheme", Kind::denied, "https://h/x", "it is on another server"},
                    Refused{"HostAsPrefix", Kind::denied, "http://h.example/x", "it is on another server"},
                    Refused{"UserName", Kind::denied, "http://h@198.51.100.1/x", "it has a user name"},
                    Refused{"NoSlashes", Kind::corrupt, "http:x", "want '//'"},
                    Refused{"NoHost", Kind::corrupt, "http:///x", "it names no host"},
                    Refused{"NetworkPath", Kind::corrupt, "//198.51.100.1/x", "must not begin with '/'"},
                    Refused{"AbsolutePath", Kind::corrupt, "/etc/passwd", "must not begin with '/'"},
                    Refused{"Empty", Kind::corrupt, "", "must not be empty"},
                    Refused{"DotDot", Kind::denied, "../../etc/passwd", "it has dot segments"},
                    Refused{"DotDotInside", Kind::denied, "nar/../x", "it has dot segments"},
                    Refused{"DotDotAtTheEnd", Kind::denied, "nar/..", "it has dot segments"},
                    Refused{"Dot", Kind::denied, "./x", "it has dot segments"},
                    Refused{"DotDotBeforeTheQuery", Kind::denied, "nar/..?x", "it has dot segments"},
                    Refused{"DotDotEncoded", Kind::denied, "nar/%2e%2E/x", "it has dot segments"},
                    Refused{"SlashEncoded", Kind::denied, "nar/..%2fx", "it has dot segments"},
                    Refused{"DotDotOfTheSameServer", Kind::denied, "http://h/../x", "it has dot segments"},
                    Refused{"Blank", Kind::corrupt, "nar/a b", "must be encoded"},
                    Refused{"Newline", Kind::corrupt, "nar/a\r\nHost: x", "must be encoded"},
                    Refused{"Nul", Kind::corrupt, std::string("a\0b", 3), "must be encoded"},
                    Refused{"Utf8", Kind::corrupt, "nar/\xc3\xa9", "must be encoded"},
                    Refused{"Backslash", Kind::corrupt, "nar\\..\\x", "must be encoded"},
                    Refused{"Fragment", Kind::corrupt, "nar/x#y", "must be encoded"},
                    Refused{"PercentAtTheEnd", Kind::corrupt, "nar/x%2", "two hexadecimal digits"},
                    Refused{"PercentWithoutDigits", Kind::corrupt, "nar/%zz", "two hexadecimal digits"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(ResolveUrl, SaysOfWhichServer) {
    EXPECT_THAT(resolve_url("http://h/guix", "file:///etc/passwd"),
                FailsWith(Kind::denied, "cannot use URL 'file:///etc/passwd' of 'http://h/guix': want http or https"));
}

TEST(ResolveUrl, RefusesAnOriginThatIsNone) {
    EXPECT_THAT(resolve_url("h/guix", "nar/x"), FailsWith(Kind::usage, "the server's own address has no scheme"));
    EXPECT_THAT(resolve_url("ftp://x", "nar/x"), FailsWith(Kind::denied, "want http or https"));
}

TEST(ResolveUrl, StaysInAFolder) {
    EXPECT_EQ(resolve_url("file:///srv/cache", "nar/zstd/gtk%2B-3").value(), "file:///srv/cache//nar/zstd/gtk%2B-3");
    EXPECT_THAT(resolve_url("file:///srv/cache", "http://h/nar/x"), FailsWith(Kind::denied, "it is not in that folder"));
    EXPECT_THAT(resolve_url("file:///srv/cache", "file:///etc/passwd"), FailsWith(Kind::denied, "want http or https"));
    EXPECT_THAT(resolve_url("file:///srv/cache", "../x"), FailsWith(Kind::denied, "it has dot segments"));
    EXPECT_THAT(resolve_url("file:///srv/cache", "/etc/passwd"), FailsWith(Kind::corrupt, "must not begin with '/'"));
}

}  // namespace
}  // namespace senv
