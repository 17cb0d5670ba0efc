#include "cache/formats/origin.h"

#include "tests/support/matchers.h"

namespace senv {
namespace {

using test::FailsWith;

constexpr const char* item = "00000000000000000000000000000000-a?b=c";

TEST(Origin, KnowsItsKind) {
    EXPECT_EQ(kind_of("http://h"), OriginKind::server);
    EXPECT_EQ(kind_of("https://h/x"), OriginKind::server);
    EXPECT_EQ(kind_of("file:///srv/cache"), OriginKind::folder);
    EXPECT_EQ(kind_of("store:///mnt/store"), OriginKind::store);
}

TEST(Origin, IsAFolderOrNone) {
    EXPECT_EQ(folder_of("http://h/x"), std::nullopt);
    EXPECT_EQ(folder_of("file:///srv/cache"), "/srv/cache");
    EXPECT_EQ(folder_of("store:///mnt/store"), "/mnt/store");
}

TEST(Origin, IsTakenWithoutSlashesAtItsEnd) {
    EXPECT_EQ(parse_origin("http://h:8080/guix/").value(), "http://h:8080/guix");
    EXPECT_EQ(parse_origin("https://[::1]").value(), "https://[::1]");
    EXPECT_EQ(parse_origin("file:///srv/my cache//").value(), "file:///srv/my cache");
    EXPECT_EQ(parse_origin("store:///mnt/gnu/store").value(), "store:///mnt/gnu/store");
}

struct Refused {
    const char* name;
    std::string origin;
    const char* cause;
};
void PrintTo(const Refused& row, std::ostream* out) {
    *out << row.origin;
}

class OriginRefuses : public testing::TestWithParam<Refused> {};

TEST_P(OriginRefuses, Text) {
    EXPECT_THAT(parse_origin(GetParam().origin), FailsWith(Kind::usage, GetParam().cause));
}

INSTANTIATE_TEST_SUITE_P(
    Text, OriginRefuses,
    testing::Values(Refused{"NoScheme", "h", "want http://"}, Refused{"Ftp", "ftp://h", "want http://"},
                    Refused{"NoHost", "http:///x", "want a host"}, Refused{"UserName", "http://u@h", "want a host"},
                    Refused{"Query", "http://h/?x", "want a host"}, Refused{"Relative", "file://srv", "three slashes"},
                    Refused{"Root", "file:///", "that is not '/'"}, Refused{"StoreRoot", "store:////", "without empty"},
                    Refused{"DotDot", "file:///srv/../etc", "dot segments"},
                    Refused{"EmptySegment", "store:///mnt//store", "without empty"},
                    Refused{"Encoded", "file:///srv%2fx", "'%'"},
                    Refused{"Control", "file:///srv/\n", "control characters"},
                    Refused{"Nothing", "file://", "three slashes"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Origin, IsNotRepeatedWithAPassword) {
    const auto refused = parse_origin("http://me:secret@h");
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().what(), testing::Not(testing::HasSubstr("secret")));
}

TEST(Origin, NamesWhatIsInAFolder) {
    const auto found = split_folder_url("file:///srv/cache//nar/zstd/gtk%2B-3%3Fx?query");
    ASSERT_THAT(found, test::IsOk());
    EXPECT_EQ(found->folder, "/srv/cache");
    EXPECT_EQ(found->path, (std::vector<std::string>{"nar", "zstd", "gtk+-3?x"}));
}

TEST(Origin, NamesAnItemOfAMountedStore) {
    const auto url = url_in_store("store:///mnt/store", StorePath::parse(item).value());
    EXPECT_EQ(url, std::string("store:///mnt/store//") + item);
    const auto found = split_folder_url(url);
    ASSERT_THAT(found, test::IsOk());
    EXPECT_EQ(found->folder, "/mnt/store");
    EXPECT_EQ(found->path, std::vector<std::string>{item});
}

TEST(Origin, NamesNothingOutsideAFolder) {
    for (const char* path : {"..", "nar/..", "nar/%2e%2e/x", "nar/..%2fx", "", "nar//x", "./x", "nar/", "x%00y"}) {
        EXPECT_THAT(split_folder_url(std::string("file:///srv/cache//") + path),
                    FailsWith(Kind::denied, "dot segments"))
            << path;
    }
    EXPECT_THAT(split_folder_url("file:///srv/cache//nar/%2"), FailsWith(Kind::corrupt, "hexadecimal"));
    EXPECT_THAT(split_folder_url("file:///srv/cache/nar"), FailsWith(Kind::corrupt, "nothing in a folder"));
    EXPECT_THAT(split_folder_url("http://h//x"), FailsWith(Kind::corrupt, "nothing in a folder"));
    EXPECT_THAT(split_folder_url("store:///mnt/store//../x"), FailsWith(Kind::corrupt, "store"));
    EXPECT_THAT(split_folder_url("file:///../etc//passwd"), FailsWith(Kind::usage, "dot segments"));
}

}  // namespace
}  // namespace senv
