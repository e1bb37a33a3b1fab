/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Walks another machine's memory from a switch between it and the observer: each RDMA READ response of the target becomes
 * the next READ request.  P4-16 for v1model.  What is walked is data: the tables `arrivals` and `reads` hold the steps of
 * chains (`transect.memory.chaser.steps` is the definition), `grants` and `ranges` what the target has granted.
 *
 * Blocks between #if and #endif are left out where no probe needs them: PAGES (page tables), SETS (views compared),
 * TESTS (conditions).  The observer speaks to the switch by UDP packets to port 4792 (`control_t`): begin a chain, ask for
 * the last READ again, fetch what was kept.
 */
#include <core.p4>
#include <v1model.p4>

const bit<9> TARGET = 1;      /* ports */
const bit<9> OBSERVER = 2;
const bit<16> ROCE = 4791;
const bit<16> CONTROL = 4792;
const bit<16> DONE = 0xffff;  /* instead of a step */

const bit<8> BEGIN = 1;       /* what a packet is for */
const bit<8> AGAIN = 2;
const bit<8> FETCH = 3;
const bit<8> ANSWER = 4;

const bit<4> RUNNING = 1;     /* where a chain stands */
const bit<4> FINISHED = 2;
const bit<4> BROKEN = 3;
const bit<4> OUTSIDE = 4;
const bit<4> UNMAPPED = 5;
const bit<4> STRADDLES = 6;
const bit<4> TOO_LONG = 7;
const bit<4> FULL = 8;
const bit<4> REFUSED = 9;

header ethernet_t {
    bit<48> dst;
    bit<48> src;
    bit<16> kind;
}

header ip_t {
    bit<8> version;
    bit<8> tos;
    bit<16> len;
    bit<16> id;
    bit<16> fragment;
    bit<8> ttl;
    bit<8> protocol;
    bit<16> check;
    bit<32> src;
    bit<32> dst;
}

header udp_t {
    bit<16> src;
    bit<16> dst;
    bit<16> len;
    bit<16> check;
}

header bth_t {
    bit<8> opcode;
    bit<8> flags;
    bit<16> partition;
    bit<8> reserved;
    bit<24> pair;
    bit<8> acknowledge;
    bit<24> psn;
}

header reth_t {
    bit<64> address;
    bit<32> rkey;
    bit<32> len;
}

header aeth_t {
    bit<8> syndrome;
    bit<24> msn;
}

header word_t {
    bit<64> value; /* little-endian, as memory has it */
}

header icrc_t {
    bit<32> value;
}

header control_t {
    bit<8> op;
    bit<8> chain;
    bit<16> step;
    bit<32> psn;
    bit<32> left;   /* READs */
    bit<32> epoch;  /* of sets */
    bit<64> node;   /* register with which it begins */
    bit<32> index;  /* of what to fetch */
}

header reply_t {
    bit<8> status;
    bit<8> chain;
    bit<16> hops;
    bit<32> psn;
    bit<32> kept;
    bit<32> elements;
    bit<64> address;
    bit<64> word0;
    bit<64> word1;
    bit<64> word2;
    bit<64> word3;
}

struct headers_t {
    ethernet_t ethernet;
    ip_t ip;
    udp_t udp;
    bth_t bth;
    reth_t reth;
    aeth_t aeth;
    word_t w0;
    word_t w1;
    word_t w2;
    word_t w3;
    icrc_t icrc;
    control_t control;
    reply_t reply;
}

struct metadata_t {
    bit<8> op;
    bit<8> words;       /* that the answer has */
    bit<1> from_target;
    bit<1> known;
    bit<1> ask;         /* a READ goes out */
    bit<1> reply;       /* what was fetched goes back */
    bit<8> chain;
    bit<32> at;         /* the chain, as an index */
    /* the grant */
    bit<64> linear;
    bit<64> top;
    bit<64> image;
    bit<64> image_size;
    bit<64> base;
    bit<64> root;
    bit<4> levels;
    bit<32> rkey;
    bit<24> pair;
    bit<32> own;
    bit<32> peer;
    /* the state of the chain */
    bit<64> state;
    bit<16> pc;
    bit<4> level;
    bit<4> status;
    bit<8> matched;
    bit<32> psn;
    bit<32> sum;
    bit<32> given;
    bit<64> v0;
    bit<64> v1;
    bit<64> v2;
    bit<64> v3;
    bit<64> node;
    bit<64> before;     /* the node, as it was */
    bit<64> came;
    bit<64> expected;
    bit<64> last;       /* the end of the container */
    bit<64> first_behind;
    bit<64> second_behind;
    bit<64> member;
    bit<64> seen;
    bit<32> seen_epoch;
    bit<32> epoch;
    bit<32> hash_index;
    bit<64> target;
    bit<64> moved;
    bit<32> hops;
    bit<32> left;
    bit<32> kept;
    bit<32> opened;
    bit<32> elements;
    bit<32> place;
    /* what the step does */
    bit<8> words_wanted;
    bit<1> checks;
    bit<8> check_word;
    bit<1> comes;
    bit<64> come_add;
    bit<1> ends;
    bit<64> end_add;
    bit<8> link_word;   /* 4: it stays */
    bit<8> first_word;
    bit<8> second_word;
    bit<8> member_word; /* 5: the node and a number */
    bit<64> member_add;
    bit<1> inserts;
    bit<1> asks;
    bit<1> opens;
    bit<1> keeps;
    bit<1> closes;
    bit<1> stops;
    bit<16> then_step;
    bit<16> other_step;
    bit<8> test_word;
    bit<64> test_mask;
    bit<64> test_low;
    bit<64> test_high;
    bit<1> test_inverted;
    bit<64> tested;
    bit<1> inside;
    /* the READ that comes next */
    bit<8> from_register;
    bit<64> offset;
    bit<32> len;
    bit<64> pointer;
    bit<64> address;
    bit<64> from_linear;
    bit<64> from_image;
    bit<64> physical;
    bit<1> known_memory;
    bit<64> wire;
}

parser Parse(packet_in packet, out headers_t hdr, inout metadata_t m, inout standard_metadata_t standard) {
    state start {
        m.words = 0;
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.kind) {
            0x0800: parse_ip;
            default: accept;
        }
    }
    state parse_ip {
        packet.extract(hdr.ip);
        transition select(hdr.ip.version, hdr.ip.protocol) {
            (0x45, 17): parse_udp;
            default: accept;
        }
    }
    state parse_udp {
        packet.extract(hdr.udp);
        transition select(hdr.udp.dst) {
            ROCE: parse_bth;
            CONTROL: parse_control;
            default: accept;
        }
    }
    state parse_bth {
        packet.extract(hdr.bth);
        transition select(hdr.bth.opcode, hdr.udp.len) {
            (0x10, 36): parse_one;
            (0x10, 44): parse_two;
            (0x10, 52): parse_three;
            (0x10, 60): parse_four;
            (0x11, 28): parse_refusal;
            default: accept;
        }
    }
    state parse_one {
        packet.extract(hdr.aeth);
        packet.extract(hdr.w0);
        m.words = 1;
        transition parse_icrc;
    }
    state parse_two {
        packet.extract(hdr.aeth);
        packet.extract(hdr.w0);
        packet.extract(hdr.w1);
        m.words = 2;
        transition parse_icrc;
    }
    state parse_three {
        packet.extract(hdr.aeth);
        packet.extract(hdr.w0);
        packet.extract(hdr.w1);
        packet.extract(hdr.w2);
        m.words = 3;
        transition parse_icrc;
    }
    state parse_four {
        packet.extract(hdr.aeth);
        packet.extract(hdr.w0);
        packet.extract(hdr.w1);
        packet.extract(hdr.w2);
        packet.extract(hdr.w3);
        m.words = 4;
        transition parse_icrc;
    }
    state parse_refusal {
        packet.extract(hdr.aeth);
        transition parse_icrc;
    }
    state parse_icrc {
        packet.extract(hdr.icrc);
        transition accept;
    }
    state parse_control {
        packet.extract(hdr.control);
        transition accept;
    }
}

control Verify(inout headers_t hdr, inout metadata_t m) {
    apply { }
}

control Chase(inout headers_t hdr, inout metadata_t m, inout standard_metadata_t standard) {
    register<bit<64>>(16) states;       /* step, level, status, matched, psn */
    register<bit<64>>(16) nodes;
    register<bit<64>>(16) cames;
    register<bit<64>>(16) lasts;
    register<bit<64>>(16) first_behinds;
    register<bit<64>>(16) second_behinds;
    register<bit<64>>(16) asked;        /* by the READ that is awaited */
    register<bit<32>>(16) hops_made;
    register<bit<32>>(16) reads_left;
    register<bit<32>>(16) pieces;       /* kept; a record may have several */
    register<bit<32>>(16) opened_at;
    register<bit<32>>(16) elements_seen;
    register<bit<64>>(16384) kept_address;
    register<bit<64>>(16384) kept0;
    register<bit<64>>(16384) kept1;
    register<bit<64>>(16384) kept2;
    register<bit<64>>(16384) kept3;
#if PAGES
    register<bit<64>>(16) targets;
#endif
#if SETS
    register<bit<32>>(16) epochs;
    register<bit<64>>(4096) members;
    register<bit<32>>(4096) member_epochs;
#endif

    action chain_of(bit<8> chain) {
        m.known = 1;
        m.op = ANSWER;
        m.chain = chain;
    }
    table pairs { /* our numbers of queue pairs */
        key = {
            hdr.ip.src: exact;
            hdr.bth.pair: exact;
        }
        actions = {
            chain_of;
            NoAction;
        }
        size = 16;
        default_action = NoAction();
    }

    action granted(bit<64> linear, bit<64> top, bit<64> image, bit<64> image_size, bit<64> base, bit<64> root,
                   bit<4> levels, bit<32> rkey, bit<24> pair, bit<32> own, bit<32> peer) {
        m.linear = linear;
        m.top = top;
        m.image = image;
        m.image_size = image_size;
        m.base = base;
        m.root = root;
        m.levels = levels;
        m.rkey = rkey;
        m.pair = pair;
        m.own = own;
        m.peer = peer;
    }
    action unknown() {
        m.known = 0;
    }
    table grants {
        key = {
            m.chain: exact;
        }
        actions = {
            granted;
            unknown;
        }
        size = 16;
        default_action = unknown();
    }

    action arrive(bit<8> words, bit<1> checks, bit<8> check_word, bit<1> comes, bit<64> come_add, bit<1> ends,
                  bit<64> end_add, bit<8> link_word, bit<8> first_word, bit<8> second_word, bit<8> member_word,
                  bit<64> member_add, bit<1> inserts, bit<1> asks, bit<1> opens, bit<1> keeps, bit<1> closes,
                  bit<1> stops, bit<16> then_step, bit<16> other_step, bit<8> test_word, bit<64> test_mask,
                  bit<64> test_low, bit<64> test_high, bit<1> test_inverted) {
        m.words_wanted = words;
        m.checks = checks;
        m.check_word = check_word;
        m.comes = comes;
        m.come_add = come_add;
        m.ends = ends;
        m.end_add = end_add;
        m.link_word = link_word;
        m.first_word = first_word;
        m.second_word = second_word;
        m.member_word = member_word;
        m.member_add = member_add;
        m.inserts = inserts;
        m.asks = asks;
        m.opens = opens;
        m.keeps = keeps;
        m.closes = closes;
        m.stops = stops;
        m.then_step = then_step;
        m.other_step = other_step;
        m.test_word = test_word;
        m.test_mask = test_mask;
        m.test_low = test_low;
        m.test_high = test_high;
        m.test_inverted = test_inverted;
    }
    table arrivals { /* what an answer does */
        key = {
            m.pc: exact;
        }
        actions = {
            arrive;
            NoAction;
        }
        size = 1024;
        default_action = NoAction();
    }

    action read(bit<8> from_register, bit<64> offset, bit<32> len) {
        m.from_register = from_register;
        m.offset = offset;
        m.len = len;
    }
    table reads { /* what a step asks for */
        key = {
            m.pc: exact;
        }
        actions = {
            read;
            NoAction;
        }
        size = 1024;
        default_action = NoAction();
    }

    action in_memory() {
        m.known_memory = 1;
    }
    table ranges { /* physical addresses at which a READ of four words may begin */
        key = {
            m.physical: range;
        }
        actions = {
            in_memory;
            NoAction;
        }
        size = 64;
        default_action = NoAction();
    }

    apply {
        m.from_target = 0;
        standard.egress_spec = TARGET;
        if (standard.ingress_port == TARGET) {
            m.from_target = 1;
            standard.egress_spec = OBSERVER;
        }
        m.known = 0;
        m.ask = 0;
        m.reply = 0;
        if (hdr.control.isValid() && m.from_target == 0) {
            m.known = 1;
            m.op = hdr.control.op;
            m.chain = hdr.control.chain;
        } else if (hdr.icrc.isValid() && m.from_target == 1) {
            pairs.apply();
        }
        if (m.known == 1) {
            grants.apply();
        }
        m.at = (bit<32>)m.chain;
        if (m.known == 1) {
            /* ---------------------------------------------- is it what the chain waits for? */
            states.read(m.state, m.at);
            m.pc = m.state[63:48];
            m.level = m.state[47:44];
            m.status = m.state[43:40];
            m.matched = m.state[39:32];
            m.psn = m.state[31:0];
            if (m.op == ANSWER && m.status != RUNNING) {
                m.known = 0; /* the observer's own traffic */
            }
        }
        if (m.known == 1 && m.op == ANSWER) {
            m.given = hdr.icrc.value[7:0] ++ hdr.icrc.value[15:8] ++ hdr.icrc.value[23:16] ++ hdr.icrc.value[31:24];
            if (m.words == 1) {
                hash(m.sum, HashAlgorithm.crc32, 32w0,
                     { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                       hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                       16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                       hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn, hdr.w0.value },
                     64w0x100000000);
            } else if (m.words == 2) {
                hash(m.sum, HashAlgorithm.crc32, 32w0,
                     { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                       hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                       16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                       hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn, hdr.w0.value, hdr.w1.value },
                     64w0x100000000);
            } else if (m.words == 3) {
                hash(m.sum, HashAlgorithm.crc32, 32w0,
                     { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                       hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                       16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                       hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn, hdr.w0.value, hdr.w1.value,
                       hdr.w2.value },
                     64w0x100000000);
            } else if (m.words == 4) {
                hash(m.sum, HashAlgorithm.crc32, 32w0,
                     { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                       hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                       16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                       hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn, hdr.w0.value, hdr.w1.value,
                       hdr.w2.value, hdr.w3.value },
                     64w0x100000000);
            } else {
                hash(m.sum, HashAlgorithm.crc32, 32w0,
                     { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                       hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                       16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                       hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn },
                     64w0x100000000);
            }
            arrivals.apply();
            if (m.level != 0) {
                m.words_wanted = 1;
            }
            if (m.sum != m.given || hdr.ip.dst != m.own) {
                m.known = 0;
                mark_to_drop(standard);
            } else if (m.words == 0) {
                m.status = REFUSED; /* a refusal: the observer is told by the packet itself */
            } else if (hdr.bth.psn != m.psn[23:0] || m.words != m.words_wanted) {
                m.known = 0; /* late, or forged */
                mark_to_drop(standard);
            }
        }
        if (m.known == 1 && m.op == BEGIN) {
            m.pc = hdr.control.step;
            m.level = 0;
            m.status = RUNNING;
            m.matched = 1;
            m.psn = hdr.control.psn;
        }
        /* -------------------------------------------------- what the answer does */
        if (m.known == 1 && m.op != AGAIN) {
            nodes.read(m.node, m.at);
            m.before = m.node;
            cames.read(m.expected, m.at);
            lasts.read(m.last, m.at);
            first_behinds.read(m.first_behind, m.at);
            second_behinds.read(m.second_behind, m.at);
            hops_made.read(m.hops, m.at);
            reads_left.read(m.left, m.at);
            pieces.read(m.kept, m.at);
            opened_at.read(m.opened, m.at);
            elements_seen.read(m.elements, m.at);
#if SETS
            epochs.read(m.epoch, m.at);
#endif
            m.came = m.expected;
        }
        if (m.known == 1 && m.op == BEGIN) {
            m.node = hdr.control.node;
            m.came = 0;
            m.last = 0;
            m.first_behind = 0;
            m.second_behind = 0;
            m.hops = 0;
            m.left = hdr.control.left;
            m.kept = 0;
            m.opened = 0;
            m.elements = 0;
#if SETS
            m.epoch = hdr.control.epoch;
#endif
        }
        if (m.known == 1 && m.op == ANSWER && m.status == RUNNING) {
            m.hops = m.hops + 1;
            m.left = m.left - 1;
            m.v0 = hdr.w0.value[7:0] ++ hdr.w0.value[15:8] ++ hdr.w0.value[23:16] ++ hdr.w0.value[31:24] ++
                   hdr.w0.value[39:32] ++ hdr.w0.value[47:40] ++ hdr.w0.value[55:48] ++ hdr.w0.value[63:56];
            m.v1 = hdr.w1.value[7:0] ++ hdr.w1.value[15:8] ++ hdr.w1.value[23:16] ++ hdr.w1.value[31:24] ++
                   hdr.w1.value[39:32] ++ hdr.w1.value[47:40] ++ hdr.w1.value[55:48] ++ hdr.w1.value[63:56];
            m.v2 = hdr.w2.value[7:0] ++ hdr.w2.value[15:8] ++ hdr.w2.value[23:16] ++ hdr.w2.value[31:24] ++
                   hdr.w2.value[39:32] ++ hdr.w2.value[47:40] ++ hdr.w2.value[55:48] ++ hdr.w2.value[63:56];
            m.v3 = hdr.w3.value[7:0] ++ hdr.w3.value[15:8] ++ hdr.w3.value[23:16] ++ hdr.w3.value[31:24] ++
                   hdr.w3.value[39:32] ++ hdr.w3.value[47:40] ++ hdr.w3.value[55:48] ++ hdr.w3.value[63:56];
            if (m.level == 0) {
                if (m.checks == 1) {
                    if (m.check_word == 0) {
                        m.moved = m.v0;
                    } else if (m.check_word == 1) {
                        m.moved = m.v1;
                    } else if (m.check_word == 2) {
                        m.moved = m.v2;
                    } else {
                        m.moved = m.v3;
                    }
                    if (m.moved != m.expected) {
                        m.status = BROKEN;
                    }
                }
                if (m.opens == 1 && m.kept > 1000) {
                    m.status = FULL;
                }
            }
        }
        if (m.known == 1 && m.op == ANSWER && m.status == RUNNING && m.level == 0) {
            if (m.opens == 1) {
                m.opened = m.kept;
                m.matched = 1;
                m.elements = m.elements + 1;
            }
#if TESTS
            m.inside = 1;
            if (m.test_word == 0) {
                m.tested = m.v0 & m.test_mask;
            } else if (m.test_word == 1) {
                m.tested = m.v1 & m.test_mask;
            } else if (m.test_word == 2) {
                m.tested = m.v2 & m.test_mask;
            } else {
                m.tested = m.v3 & m.test_mask;
            }
            if (m.tested < m.test_low || m.tested > m.test_high) {
                m.inside = 0;
            }
            if (m.test_word != 4 && m.inside == m.test_inverted) {
                m.matched = 0;
            }
#endif
            m.place = 18w0 ++ m.chain[3:0] ++ m.kept[9:0];
            if (m.keeps == 1) {
                kept_address.write(m.place, m.before);
                kept0.write(m.place, m.v0);
                kept1.write(m.place, m.v1);
                kept2.write(m.place, m.v2);
                kept3.write(m.place, m.v3);
                m.kept = m.kept + 1;
            }
#if SETS
            if (m.member_word == 0) {
                m.member = m.v0;
            } else if (m.member_word == 1) {
                m.member = m.v1;
            } else if (m.member_word == 2) {
                m.member = m.v2;
            } else if (m.member_word == 3) {
                m.member = m.v3;
            } else {
                m.member = m.before + m.member_add;
            }
            hash(m.hash_index, HashAlgorithm.crc32, 32w0, { m.member }, 32w4096);
            if (m.inserts == 1) {
                members.write(m.hash_index, m.member);
                member_epochs.write(m.hash_index, m.epoch);
            } else if (m.asks == 1) {
                members.read(m.seen, m.hash_index);
                member_epochs.read(m.seen_epoch, m.hash_index);
                if (m.seen == m.member && m.seen_epoch == m.epoch) {
                    m.matched = 0;
                }
            }
#endif
            if (m.comes == 1) {
                m.came = m.before + m.come_add;
            }
            if (m.ends == 1) {
                m.last = m.before + m.end_add;
            }
            if (m.link_word == 0) {
                m.node = m.v0;
            } else if (m.link_word == 1) {
                m.node = m.v1;
            } else if (m.link_word == 2) {
                m.node = m.v2;
            } else if (m.link_word == 3) {
                m.node = m.v3;
            }
            if (m.first_word == 0) {
                m.first_behind = m.v0;
            } else if (m.first_word == 1) {
                m.first_behind = m.v1;
            } else if (m.first_word == 2) {
                m.first_behind = m.v2;
            } else if (m.first_word == 3) {
                m.first_behind = m.v3;
            }
            if (m.second_word == 0) {
                m.second_behind = m.v0;
            } else if (m.second_word == 1) {
                m.second_behind = m.v1;
            } else if (m.second_word == 2) {
                m.second_behind = m.v2;
            } else if (m.second_word == 3) {
                m.second_behind = m.v3;
            }
            if (m.closes == 1 && m.matched == 0) {
                m.kept = m.opened;
            }
            m.pc = m.then_step;
            if (m.stops == 1 && m.node == m.last) {
                m.pc = m.other_step;
            }
            if (m.pc == DONE) {
                m.status = FINISHED;
            }
        }
        if (m.known == 1 && m.op == ANSWER && m.status == RUNNING && m.left == 0) {
            m.status = TOO_LONG;
        }
        /* -------------------------------------------------- what to read next */
        m.known_memory = 0;
        if (m.known == 1 && m.status == RUNNING && m.op != FETCH) {
            reads.apply();
#if PAGES
            if (m.op != AGAIN) {
                targets.read(m.target, m.at);
            }
#endif
            if (m.op == ANSWER && m.level != 0) {
#if PAGES
                if (m.v0[0:0] == 0) {
                    m.status = UNMAPPED;
                } else if (m.level == 1) {
                    m.physical = 12w0 ++ m.v0[51:12] ++ m.target[11:0];
                    m.level = 0;
                } else if (m.level == 2 && m.v0[7:7] == 1) {
                    m.physical = 12w0 ++ m.v0[51:21] ++ m.target[20:0];
                    m.level = 0;
                } else if (m.level == 3 && m.v0[7:7] == 1) {
                    m.physical = 12w0 ++ m.v0[51:30] ++ m.target[29:0];
                    m.level = 0;
                } else if (m.level == 5) {
                    m.physical = 12w0 ++ m.v0[51:12] ++ m.target[47:39] ++ 3w0;
                    m.level = 4;
                } else if (m.level == 4) {
                    m.physical = 12w0 ++ m.v0[51:12] ++ m.target[38:30] ++ 3w0;
                    m.level = 3;
                } else if (m.level == 3) {
                    m.physical = 12w0 ++ m.v0[51:12] ++ m.target[29:21] ++ 3w0;
                    m.level = 2;
                } else {
                    m.physical = 12w0 ++ m.v0[51:12] ++ m.target[20:12] ++ 3w0;
                    m.level = 1;
                }
#endif
            } else if (m.op != AGAIN) {
                if (m.from_register == 0) {
                    m.pointer = m.node;
                } else if (m.from_register == 4) {
                    m.pointer = m.first_behind;
                } else {
                    m.pointer = m.second_behind;
                }
                m.address = m.pointer + m.offset;
                m.from_linear = m.address - m.linear;
                m.from_image = m.address - m.image;
                if (m.from_linear < m.top) {
                    m.physical = m.from_linear;
                } else if (m.from_image < m.image_size) {
                    m.physical = m.from_image + m.base;
                } else if (m.pointer[63:63] == 0) {
                    m.status = OUTSIDE;
                } else {
#if PAGES
                    m.target = m.address;
                    m.level = m.levels;
                    if (m.address[11:0] > 4064 && 20w0 ++ m.address[11:0] > 32w4096 - m.len) {
                        m.status = STRADDLES;
                    } else if (m.levels == 5) {
                        m.physical = m.root[63:12] ++ m.address[56:48] ++ 3w0;
                    } else {
                        m.physical = m.root[63:12] ++ m.address[47:39] ++ 3w0;
                    }
#else
                    m.status = OUTSIDE;
#endif
                }
            }
        }
        if (m.known == 1 && m.status == RUNNING && m.op != FETCH) {
            if (m.op == AGAIN) {
                asked.read(m.wire, m.at);
                m.ask = 1;
            } else {
                ranges.apply();
                if (m.known_memory == 1) {
                    m.wire = m.linear + m.physical;
                    asked.write(m.at, m.wire);
                    m.ask = 1;
                } else {
                    m.status = OUTSIDE;
                }
            }
            if (m.level != 0) {
                m.len = 8;
            }
        }
        /* -------------------------------------------------- what is remembered */
        if (m.known == 1 && m.op == FETCH) {
            m.place = 18w0 ++ m.chain[3:0] ++ hdr.control.index[9:0];
            kept_address.read(m.moved, m.place);
            kept0.read(m.v0, m.place);
            kept1.read(m.v1, m.place);
            kept2.read(m.v2, m.place);
            kept3.read(m.v3, m.place);
            m.reply = 1;
        }
        if (m.known == 1 && (m.op == BEGIN || m.op == ANSWER)) {
            if (m.op == ANSWER) {
                m.psn = 8w0 ++ (m.psn[23:0] + 1);
            }
            states.write(m.at, m.pc ++ m.level ++ m.status ++ m.matched ++ m.psn);
            nodes.write(m.at, m.node);
            cames.write(m.at, m.came);
            lasts.write(m.at, m.last);
            first_behinds.write(m.at, m.first_behind);
            second_behinds.write(m.at, m.second_behind);
            hops_made.write(m.at, m.hops);
            reads_left.write(m.at, m.left);
            pieces.write(m.at, m.kept);
            opened_at.write(m.at, m.opened);
            elements_seen.write(m.at, m.elements);
#if PAGES
            targets.write(m.at, m.target);
#endif
#if SETS
            epochs.write(m.at, m.epoch);
#endif
        }
        if (m.ask == 1) {
            standard.egress_spec = TARGET;
        } else if (m.known == 1 && m.op != ANSWER) {
            standard.egress_spec = OBSERVER; /* a control packet that leads to no READ goes back, as the answer to it */
            m.reply = 1;
        }
    }
}

control Rewrite(inout headers_t hdr, inout metadata_t m, inout standard_metadata_t standard) {
    bit<48> mac;
    apply {
        if (m.ask == 1) {
            if (m.from_target == 1) {
                mac = hdr.ethernet.dst;
                hdr.ethernet.dst = hdr.ethernet.src;
                hdr.ethernet.src = mac;
            }
            hdr.control.setInvalid();
            hdr.aeth.setInvalid();
            hdr.w0.setInvalid();
            hdr.w1.setInvalid();
            hdr.w2.setInvalid();
            hdr.w3.setInvalid();
            hdr.ip.tos = 0;
            hdr.ip.len = 60;
            hdr.ip.id = 0;
            hdr.ip.fragment = 0x4000;
            hdr.ip.ttl = 64;
            hdr.ip.src = m.own;
            hdr.ip.dst = m.peer;
            hdr.udp.src = ROCE;
            hdr.udp.dst = ROCE;
            hdr.udp.len = 40;
            hdr.udp.check = 0;
            hdr.bth.setValid();
            hdr.bth.opcode = 0x0c;
            hdr.bth.flags = 0x40;
            hdr.bth.partition = 0xffff;
            hdr.bth.reserved = 0;
            hdr.bth.pair = m.pair;
            hdr.bth.acknowledge = 0;
            hdr.bth.psn = m.psn[23:0];
            hdr.reth.setValid();
            hdr.reth.address = m.wire;
            hdr.reth.rkey = m.rkey;
            hdr.reth.len = m.len;
            hdr.icrc.setValid();
            hash(m.sum, HashAlgorithm.crc32, 32w0,
                 { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                   hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                   16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                   hdr.bth.acknowledge, hdr.bth.psn, hdr.reth.address, hdr.reth.rkey, hdr.reth.len },
                 64w0x100000000);
            hdr.icrc.value = m.sum[7:0] ++ m.sum[15:8] ++ m.sum[23:16] ++ m.sum[31:24];
        } else if (m.reply == 1) {
            mac = hdr.ethernet.dst;
            hdr.ethernet.dst = hdr.ethernet.src;
            hdr.ethernet.src = mac;
            hdr.ip.src = hdr.ip.dst;
            hdr.ip.dst = m.own;
            hdr.ip.len = 112;
            hdr.udp.dst = hdr.udp.src;
            hdr.udp.src = CONTROL;
            hdr.udp.len = 92;
            hdr.udp.check = 0;
            hdr.reply.setValid();
            hdr.reply.status = 4w0 ++ m.status;
            hdr.reply.chain = m.chain;
            hdr.reply.hops = m.hops[15:0];
            hdr.reply.psn = m.psn;
            hdr.reply.kept = m.kept;
            hdr.reply.elements = m.elements;
            hdr.reply.address = m.moved;
            hdr.reply.word0 = m.v0;
            hdr.reply.word1 = m.v1;
            hdr.reply.word2 = m.v2;
            hdr.reply.word3 = m.v3;
        }
    }
}

control Compute(inout headers_t hdr, inout metadata_t m) {
    apply {
        update_checksum(m.ask == 1 || m.reply == 1,
                        { hdr.ip.version, hdr.ip.tos, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, hdr.ip.ttl,
                          hdr.ip.protocol, hdr.ip.src, hdr.ip.dst },
                        hdr.ip.check, HashAlgorithm.csum16);
    }
}

control Deparse(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.ethernet);
        packet.emit(hdr.ip);
        packet.emit(hdr.udp);
        packet.emit(hdr.bth);
        packet.emit(hdr.reth);
        packet.emit(hdr.aeth);
        packet.emit(hdr.w0);
        packet.emit(hdr.w1);
        packet.emit(hdr.w2);
        packet.emit(hdr.w3);
        packet.emit(hdr.icrc);
        packet.emit(hdr.control);
        packet.emit(hdr.reply);
    }
}

V1Switch(Parse(), Verify(), Chase(), Rewrite(), Compute(), Deparse()) main;
