// reach.h: how far inside an address is. Pure.
//
// A server may send us on to another place (as the servers in front of a CDN do), and the bytes are verified wherever they come
// from. But the request is made by this node: it must not become a way for a server outside to ask what only the site or
// only this node can ask. So a redirect leads at most as far inside as the server that the administrator named.
#pragma once

#include <string>

namespace senv {

enum class Reach : unsigned char {
    world,
    site,  // private networks: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7, fec0::/10
    node,  // this node and its link: loopback, link-local (where clouds keep credentials), the unspecified address, and whatever is
           // no address
};

/// Of an address in numbers, IPv4 or IPv6. One that carries an IPv4 address in it counts as that.
Reach reach_of(const std::string& address);

}  // namespace senv
