#include "cache/wire/frame.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace senv::wire {
namespace {

std::string payload_of(const std::string& frame) {
    return frame.substr(header_bytes);
}

Result<Header> header_of(std::string_view bytes, std::uint32_t limit = max_reply_bytes) {
    std::array<std::byte, header_bytes> raw = {};
    std::memcpy(raw.data(), bytes.data(), raw.size());
    return Header::parse(raw, limit);
}

TEST(Frame, HasTheLayoutOfTheProtocolPage) {
    // length 9 = u32 + str("x"): 4 + 4 + 1; type 35; version 1.
    const std::string frame = Writer(Type::text).u32(0x01020304).str("x").finish();
    EXPECT_EQ(frame, std::string("\x09\0\0\0\x23\0\x01\0\x04\x03\x02\x01\x01\0\0\0x", 17));
}

TEST(Frame, HeaderRoundTrips) {
    const auto header = header_of(Writer(Type::plan).u64(1).finish());
    ASSERT_TRUE(header);
    EXPECT_EQ(header->type, Type::plan);
    EXPECT_EQ(header->length, 8U);
}

TEST(Frame, RefusesAnotherVersion) {
    std::string frame = Writer(Type::status).finish();
    frame[6] = 2;
    const auto header = header_of(frame);
    ASSERT_FALSE(header);
    EXPECT_NE(header.error().what().find("version 2"), std::string::npos);
}

TEST(Frame, RefusesALengthOverTheLimit) {
    std::string frame = Writer(Type::status).finish();
    frame[2] = 1;  // 65536 bytes
    EXPECT_TRUE(header_of(frame, max_request_bytes));
    frame[0] = 1;
    EXPECT_FALSE(header_of(frame, max_request_bytes));
}

TEST(Reader, GivesBackWhatWasWritten) {
    const std::string payload =
        payload_of(Writer(Type::text).u16(7).u32(70000).u64(1ULL << 40).str("abc").str("").finish());
    Reader in(payload);
    EXPECT_EQ(in.u16("a").value(), 7);
    EXPECT_EQ(in.u32("b").value(), 70000U);
    EXPECT_EQ(in.u64("c").value(), 1ULL << 40);
    EXPECT_EQ(in.str("d", 3).value(), "abc");
    EXPECT_EQ(in.str("e", 3).value(), "");
    EXPECT_TRUE(in.end());
}

TEST(Reader, NamesTheFieldInWhichTheFrameEnds) {
    Reader in("ab");
    const auto value = in.u32("job");
    ASSERT_FALSE(value);
    EXPECT_NE(value.error().what().find("'job'"), std::string::npos);
}

TEST(Reader, RefusesAStringThatClaimsMoreThanThereIs) {
    const std::string payload("\xff\xff\0\0xy", 6);
    EXPECT_FALSE(Reader(payload).str("what", 1 << 20));
}

TEST(Reader, RefusesAStringOverItsLimit) {
    const std::string payload = payload_of(Writer(Type::text).str("abcd").finish());
    EXPECT_FALSE(Reader(payload).str("name", 3));
}

TEST(Reader, RefusesNulBytes) {
    const std::string payload = payload_of(Writer(Type::text).str(std::string_view("a\0b", 3)).finish());
    EXPECT_FALSE(Reader(payload).str("name", 10));
}

TEST(Reader, RefusesBytesLeftOver) {
    EXPECT_FALSE(Reader("x").end());
}

}  // namespace
}  // namespace senv::wire
