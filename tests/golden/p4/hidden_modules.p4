/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* HiddenModules of modules.py, 9d77891648032db5: PAGES, SETS, TESTS */
/*
 * Walks another machine's memory from a switch between it and the observer: each RDMA READ response of the target becomes
 * the next READ request.  P4-16 for v1model.  What is walked is data: the tables `arrivals` and `beginnings` hold the steps of
 * chains (`transect.memory.chaser.steps` is the definition), `grants` and `memory` what the target has granted.
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
    control_t order;
    reply_t reply;
}

struct metadata_t {
    bit<8> op;          /* what the packet is for; 0: it only passes */
    bit<8> words;       /* that the answer has */
    bit<1> accepted;    /* the answer that its chain waits for */
    bit<1> ask;         /* a READ goes out */
    bit<1> reply;       /* a control packet goes back */
    bit<8> chain;
    bit<32> at;         /* the chain, as an index */
    /* the grant */
    bit<1> is_granted;
    bit<64> linear;
    bit<64> root;       /* where the page tables are in the linear map */
    bit<4> levels;
    bit<32> rkey;
    bit<24> pair;
    bit<32> own;
    bit<32> peer;
    /* the chain, as it was */
    bit<64> state;
    bit<16> pc;
    bit<4> level;
    bit<4> status;
    bit<8> matched;
    bit<32> psn;
    bit<64> node;
    bit<64> came;
    bit<64> last;
    bit<64> first_behind;
    bit<64> second_behind;
    bit<64> target;
    bit<32> hops;
    bit<32> left;
    bit<32> kept;
    bit<32> opened;
    bit<32> elements;
    bit<32> epoch;
    /* the answer */
    bit<32> sum;
    bit<32> given;
    bit<64> v0;
    bit<64> v1;
    bit<64> v2;
    bit<64> v3;
    /* what its step does */
    bit<8> words_wanted;
    bit<1> checks;
    bit<8> check_word;
    bit<64> come_add;
    bit<1> comes;
    bit<64> end_add;
    bit<1> ends;
    bit<8> link_word;   /* 4: the node stays */
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
    bit<8> from_register;
    bit<64> offset;
    bit<12> reach;      /* the last place in a page where its READ may begin */
    bit<32> len;
    bit<8> test_word;
    bit<64> test_mask;
    bit<64> test_low;
    bit<64> test_high;
    bit<1> test_inverted;
    /* the chain, as it will be */
    bit<64> checked;
    bit<1> broken;
    bit<1> full;
    bit<64> tested;
    bit<1> inside;
    bit<64> member;
    bit<32> hash_index;
    bit<64> seen;
    bit<32> seen_epoch;
    bit<64> next_node;
    bit<64> next_came;
    bit<64> next_last;
    bit<64> next_first;
    bit<64> next_second;
    bit<16> next_pc;
    bit<4> next_level;
    bit<4> next_status;
    bit<8> next_matched;
    bit<32> next_psn;
    bit<32> next_hops;
    bit<32> next_left;
    bit<32> next_kept;
    bit<32> next_opened;
    bit<32> next_elements;
    bit<32> place;
    bit<64> moved;
    /* the READ that comes next */
    bit<64> pointer;
    bit<64> first_part;
    bit<64> second_part;
    bit<64> address;
    bit<1> near;
    bit<1> far;
    bit<1> walks;
    bit<1> unmapped;
    bit<64> physical;
    bit<4> walk_level;
    bit<64> wire;
    bit<64> delta;
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
        packet.extract(hdr.order);
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
    register<bit<64>>(16) targets;
    register<bit<32>>(16) epochs;
    register<bit<64>>(4096) members;
    register<bit<32>>(4096) member_epochs;

    action chain_of(bit<8> chain) {
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

    action granted(bit<64> linear, bit<64> root, bit<4> levels, bit<32> rkey, bit<24> pair, bit<32> own, bit<32> peer) {
        m.is_granted = 1;
        m.linear = linear;
        m.root = root;
        m.levels = levels;
        m.rkey = rkey;
        m.pair = pair;
        m.own = own;
        m.peer = peer;
    }
    table grants {
        key = {
            m.chain: exact;
        }
        actions = {
            granted;
            NoAction;
        }
        size = 16;
        default_action = NoAction();
    }

    action arrive(bit<8> words, bit<1> checks, bit<8> check_word, bit<1> comes, bit<64> come_add, bit<1> ends,
                  bit<64> end_add, bit<8> link_word, bit<8> first_word, bit<8> second_word, bit<8> member_word,
                  bit<64> member_add, bit<1> inserts, bit<1> asks, bit<1> opens, bit<1> keeps, bit<1> closes,
                  bit<1> stops, bit<16> then_step, bit<8> from_register, bit<64> offset, bit<12> reach, bit<32> len,
                  bit<8> test_word, bit<64> test_mask, bit<64> test_low, bit<64> test_high, bit<1> test_inverted) {
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
        m.from_register = from_register;
        m.offset = offset;
        m.reach = reach;
        m.len = len;
        m.test_word = test_word;
        m.test_mask = test_mask;
        m.test_low = test_low;
        m.test_high = test_high;
        m.test_inverted = test_inverted;
    }
    table arrivals { /* by step: what its answer does, and what the step after it reads */
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

    action begin(bit<64> offset, bit<12> reach, bit<32> len) {
        m.offset = offset;
        m.reach = reach;
        m.len = len;
    }
    table beginnings { /* what the first step of a chain reads */
        key = {
            hdr.order.step: exact;
        }
        actions = {
            begin;
            NoAction;
        }
        size = 64;
        default_action = NoAction();
    }

    action in_memory(bit<64> delta) {
        m.near = 1;
        m.delta = delta;
    }
    table memory { /* virtual addresses at which a READ may begin, and what the target calls them */
        key = {
            m.chain: exact;
            m.address: range;
        }
        actions = {
            in_memory;
            NoAction;
        }
        size = 1024;
        default_action = NoAction();
    }

    apply {
        standard.egress_spec = TARGET;
        if (standard.ingress_port == TARGET) {
            standard.egress_spec = OBSERVER;
        }
        m.op = 0;
        m.is_granted = 0;
        m.accepted = 0;
        m.ask = 0;
        m.reply = 0;
        m.broken = 0;
        m.full = 0;
        m.near = 0;
        m.far = 0;
        m.unmapped = 0;
        if (hdr.order.isValid() && standard.ingress_port == OBSERVER) {
            m.op = hdr.order.op;
            m.chain = hdr.order.chain;
            beginnings.apply();
        } else if (hdr.icrc.isValid() && standard.ingress_port == TARGET) {
            pairs.apply();
        }
        /* -------------------------------------------------- the chain, as it is */
        m.at = 28w0 ++ m.chain[3:0];
        grants.apply();
        states.read(m.state, m.at);
        nodes.read(m.node, m.at);
        cames.read(m.came, m.at);
        lasts.read(m.last, m.at);
        first_behinds.read(m.first_behind, m.at);
        second_behinds.read(m.second_behind, m.at);
        hops_made.read(m.hops, m.at);
        reads_left.read(m.left, m.at);
        pieces.read(m.kept, m.at);
        opened_at.read(m.opened, m.at);
        elements_seen.read(m.elements, m.at);
        targets.read(m.target, m.at);
        epochs.read(m.epoch, m.at);
        m.pc = m.state[63:48];
        m.level = m.state[47:44];
        m.status = m.state[43:40];
        m.matched = m.state[39:32];
        m.psn = m.state[31:0];
        if (m.op == ANSWER) {
            arrivals.apply();
        }
        /* -------------------------------------------------- is the answer what the chain waits for? */
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
                   hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn,
                   hdr.w0.value, hdr.w1.value },
                 64w0x100000000);
        } else if (m.words == 3) {
            hash(m.sum, HashAlgorithm.crc32, 32w0,
                 { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                   hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                   16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                   hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn,
                   hdr.w0.value, hdr.w1.value, hdr.w2.value },
                 64w0x100000000);
        } else if (m.words == 4) {
            hash(m.sum, HashAlgorithm.crc32, 32w0,
                 { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                   hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                   16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                   hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn,
                   hdr.w0.value, hdr.w1.value, hdr.w2.value, hdr.w3.value },
                 64w0x100000000);
        } else {
            hash(m.sum, HashAlgorithm.crc32, 32w0,
                 { 64w0xffffffffffffffff, hdr.ip.version, 8w0xff, hdr.ip.len, hdr.ip.id, hdr.ip.fragment, 8w0xff,
                   hdr.ip.protocol, 16w0xffff, hdr.ip.src, hdr.ip.dst, hdr.udp.src, hdr.udp.dst, hdr.udp.len,
                   16w0xffff, hdr.bth.opcode, hdr.bth.flags, hdr.bth.partition, 8w0xff, hdr.bth.pair,
                   hdr.bth.acknowledge, hdr.bth.psn, hdr.aeth.syndrome, hdr.aeth.msn },
                 64w0x100000000);
        }
        if (m.op == ANSWER && m.status == RUNNING) {
            if (m.sum == m.given && m.is_granted == 1 && hdr.ip.dst == m.own && m.words == 0) {
                m.accepted = 0; /* a refusal: the observer is told by the packet itself */
            } else if (m.sum == m.given && m.is_granted == 1 && hdr.ip.dst == m.own && hdr.bth.psn == m.psn[23:0] &&
                       (m.level == 0 && m.words == m.words_wanted || m.level != 0 && m.words == 1)) {
                m.accepted = 1;
            } else {
                mark_to_drop(standard); /* late, damaged or forged */
            }
        }
        /* -------------------------------------------------- what it does */
        m.v0 = hdr.w0.value[7:0] ++ hdr.w0.value[15:8] ++ hdr.w0.value[23:16] ++ hdr.w0.value[31:24] ++
               hdr.w0.value[39:32] ++ hdr.w0.value[47:40] ++ hdr.w0.value[55:48] ++ hdr.w0.value[63:56];
        m.v1 = hdr.w1.value[7:0] ++ hdr.w1.value[15:8] ++ hdr.w1.value[23:16] ++ hdr.w1.value[31:24] ++
               hdr.w1.value[39:32] ++ hdr.w1.value[47:40] ++ hdr.w1.value[55:48] ++ hdr.w1.value[63:56];
        m.v2 = hdr.w2.value[7:0] ++ hdr.w2.value[15:8] ++ hdr.w2.value[23:16] ++ hdr.w2.value[31:24] ++
               hdr.w2.value[39:32] ++ hdr.w2.value[47:40] ++ hdr.w2.value[55:48] ++ hdr.w2.value[63:56];
        m.v3 = hdr.w3.value[7:0] ++ hdr.w3.value[15:8] ++ hdr.w3.value[23:16] ++ hdr.w3.value[31:24] ++
               hdr.w3.value[39:32] ++ hdr.w3.value[47:40] ++ hdr.w3.value[55:48] ++ hdr.w3.value[63:56];
        m.checked = m.v3;
        if (m.check_word == 0) {
            m.checked = m.v0;
        } else if (m.check_word == 1) {
            m.checked = m.v1;
        } else if (m.check_word == 2) {
            m.checked = m.v2;
        }
        if (m.checks == 1 && m.checked != m.came) {
            m.broken = 1;
        }
        if (m.opens == 1 && m.kept > 1000) {
            m.full = 1;
        }
        m.next_matched = m.matched;
        m.next_elements = m.elements;
        m.next_opened = m.opened;
        if (m.opens == 1) {
            m.next_matched = 1;
            m.next_elements = m.elements + 1;
            m.next_opened = m.kept;
        }
        m.tested = m.v3 & m.test_mask;
        if (m.test_word == 0) {
            m.tested = m.v0 & m.test_mask;
        } else if (m.test_word == 1) {
            m.tested = m.v1 & m.test_mask;
        } else if (m.test_word == 2) {
            m.tested = m.v2 & m.test_mask;
        }
        m.inside = 1;
        if (m.tested < m.test_low || m.tested > m.test_high) {
            m.inside = 0;
        }
        if (m.test_word != 4 && m.inside == m.test_inverted) {
            m.next_matched = 0;
        }
        m.member = m.node + m.member_add;
        if (m.member_word == 0) {
            m.member = m.v0;
        } else if (m.member_word == 1) {
            m.member = m.v1;
        } else if (m.member_word == 2) {
            m.member = m.v2;
        } else if (m.member_word == 3) {
            m.member = m.v3;
        }
        hash(m.hash_index, HashAlgorithm.crc32, 32w0, { m.member }, 32w4096);
        if (m.accepted == 1 && m.level == 0 && m.inserts == 1) {
            members.write(m.hash_index, m.member);
            member_epochs.write(m.hash_index, m.epoch);
        } else {
            members.read(m.seen, m.hash_index);
            member_epochs.read(m.seen_epoch, m.hash_index);
        }
        if (m.asks == 1 && m.seen == m.member && m.seen_epoch == m.epoch) {
            m.next_matched = 0;
        }
        m.next_kept = m.kept;
        if (m.closes == 1 && m.next_matched == 0) {
            m.next_kept = m.next_opened;
        } else if (m.keeps == 1) {
            m.next_kept = m.kept + 1;
        }
        m.next_came = m.came;
        if (m.comes == 1) {
            m.next_came = m.node + m.come_add;
        }
        m.next_last = m.last;
        if (m.ends == 1) {
            m.next_last = m.node + m.end_add;
        }
        m.next_node = m.node;
        if (m.link_word == 0) {
            m.next_node = m.v0;
        } else if (m.link_word == 1) {
            m.next_node = m.v1;
        } else if (m.link_word == 2) {
            m.next_node = m.v2;
        } else if (m.link_word == 3) {
            m.next_node = m.v3;
        }
        m.next_first = m.first_behind;
        if (m.first_word == 0) {
            m.next_first = m.v0;
        } else if (m.first_word == 1) {
            m.next_first = m.v1;
        } else if (m.first_word == 2) {
            m.next_first = m.v2;
        } else if (m.first_word == 3) {
            m.next_first = m.v3;
        }
        m.next_second = m.second_behind;
        if (m.second_word == 0) {
            m.next_second = m.v0;
        } else if (m.second_word == 1) {
            m.next_second = m.v1;
        } else if (m.second_word == 2) {
            m.next_second = m.v2;
        } else if (m.second_word == 3) {
            m.next_second = m.v3;
        }
        m.next_pc = m.then_step;
        if (m.stops == 1 && m.next_node == m.next_last) {
            m.next_pc = DONE;
        }
        m.next_psn = 8w0 ++ (m.psn[23:0] + 24w1);
        m.next_hops = m.hops + 1;
        m.next_left = m.left - 1;
        /* -------------------------------------------------- what to read next */
        m.walks = 0;
        m.walk_level = 0;
        m.physical = 0;
        m.pointer = m.next_node;
        if (m.op == BEGIN) {
            m.pointer = hdr.order.node;
        } else if (m.from_register == 4) {
            m.pointer = m.next_first;
        } else if (m.from_register == 5) {
            m.pointer = m.next_second;
        }
        if (m.op == ANSWER && m.level != 0) {
            m.walks = 1;
            if (m.v0[0:0] == 0) {
                m.unmapped = 1;
            } else if (m.level == 1) {
                m.physical = 12w0 ++ m.v0[51:12] ++ m.target[11:0];
            } else if (m.level == 2 && m.v0[7:7] == 1) {
                m.physical = 12w0 ++ m.v0[51:21] ++ m.target[20:0];
            } else if (m.level == 3 && m.v0[7:7] == 1) {
                m.physical = 12w0 ++ m.v0[51:30] ++ m.target[29:0];
            } else if (m.level == 5) {
                m.physical = 12w0 ++ m.v0[51:12] ++ m.target[47:39] ++ 3w0;
                m.walk_level = 4;
            } else if (m.level == 4) {
                m.physical = 12w0 ++ m.v0[51:12] ++ m.target[38:30] ++ 3w0;
                m.walk_level = 3;
            } else if (m.level == 3) {
                m.physical = 12w0 ++ m.v0[51:12] ++ m.target[29:21] ++ 3w0;
                m.walk_level = 2;
            } else {
                m.physical = 12w0 ++ m.v0[51:12] ++ m.target[20:12] ++ 3w0;
                m.walk_level = 1;
            }
        }
        m.first_part = m.pointer;
        m.second_part = m.offset;
        if (m.walks == 1) {
            m.first_part = m.linear;
            m.second_part = m.physical;
            m.len = 21w0 ++ m.words_wanted ++ 3w0; /* at the end of a walk: what the step itself wants */
        }
        m.address = m.first_part + m.second_part;
        memory.apply();
        m.next_level = m.walk_level;
        m.wire = m.address;
        m.next_status = RUNNING;
        if (m.walks == 0 && m.op == ANSWER && m.broken == 1) {
            m.next_status = BROKEN;
        } else if (m.walks == 0 && m.op == ANSWER && m.full == 1) {
            m.next_status = FULL;
        } else if (m.walks == 0 && m.op == ANSWER && m.next_pc == DONE) {
            m.next_status = FINISHED;
        } else if (m.unmapped == 1) {
            m.next_status = UNMAPPED;
        } else if (m.near == 0 && m.walks == 1) {
            m.next_status = OUTSIDE;
        } else if (m.near == 0 && m.pointer[63:63] == 0) {
            m.next_status = OUTSIDE;
        } else if (m.near == 0) {
            m.next_level = m.levels;
            m.far = 1;
            if (m.address[11:0] > m.reach) {
                m.next_status = STRADDLES;
            } else if (m.levels == 5) {
                m.wire = m.root[63:12] ++ m.address[56:48] ++ 3w0;
            } else {
                m.wire = m.root[63:12] ++ m.address[47:39] ++ 3w0;
            }
        } else if (m.op == ANSWER && m.next_left == 0) {
            m.next_status = TOO_LONG;
        }
        if (m.walks == 1) {
            m.next_pc = m.pc;
        }
        /* -------------------------------------------------- what is remembered */
        m.place = 18w0 ++ m.chain[3:0] ++ m.kept[9:0];
        if (m.op == FETCH) {
            m.place = 18w0 ++ m.chain[3:0] ++ hdr.order.index[9:0];
        }
        if (m.op == FETCH) {
            kept_address.read(m.moved, m.place);
            kept0.read(m.v0, m.place);
            kept1.read(m.v1, m.place);
            kept2.read(m.v2, m.place);
            kept3.read(m.v3, m.place);
        } else if (m.accepted == 1 && m.walks == 0 && m.keeps == 1) {
            kept_address.write(m.place, m.node);
            kept0.write(m.place, m.v0);
            kept1.write(m.place, m.v1);
            kept2.write(m.place, m.v2);
            kept3.write(m.place, m.v3);
        }
        if (m.op == BEGIN && m.is_granted == 1) {
            nodes.write(m.at, hdr.order.node);
            cames.write(m.at, 64w0);
            lasts.write(m.at, 64w0);
            first_behinds.write(m.at, 64w0);
            second_behinds.write(m.at, 64w0);
            pieces.write(m.at, 32w0);
            opened_at.write(m.at, 32w0);
            elements_seen.write(m.at, 32w0);
        } else if (m.accepted == 1 && m.walks == 0 && m.broken == 0 && m.full == 0) {
            nodes.write(m.at, m.next_node);
            cames.write(m.at, m.next_came);
            lasts.write(m.at, m.next_last);
            first_behinds.write(m.at, m.next_first);
            second_behinds.write(m.at, m.next_second);
            pieces.write(m.at, m.next_kept);
            opened_at.write(m.at, m.next_opened);
            elements_seen.write(m.at, m.next_elements);
        }
        if (m.op == BEGIN && m.is_granted == 1) {
            hops_made.write(m.at, 32w0);
            reads_left.write(m.at, hdr.order.left);
            states.write(m.at, hdr.order.step ++ m.next_level ++ m.next_status ++ 8w1 ++ hdr.order.psn);
            epochs.write(m.at, hdr.order.epoch);
        } else if (m.accepted == 1) {
            hops_made.write(m.at, m.next_hops);
            reads_left.write(m.at, m.next_left);
            states.write(m.at, m.next_pc ++ m.next_level ++ m.next_status ++ m.next_matched ++ m.next_psn);
        } else if (m.op == ANSWER && m.status == RUNNING && m.words == 0 && standard.egress_spec == OBSERVER) {
            states.write(m.at, m.pc ++ m.level ++ REFUSED ++ m.matched ++ m.psn);
        }
        if ((m.accepted == 1 || m.op == BEGIN) && m.walks == 0) {
            targets.write(m.at, m.address);
        }
        /* -------------------------------------------------- where it goes */
        if (m.op == AGAIN && m.status == RUNNING) {
            m.ask = 1;
            standard.egress_spec = TARGET;
        } else if ((m.accepted == 1 || m.op == BEGIN && m.is_granted == 1) && m.next_status == RUNNING) {
            m.ask = 1;
            standard.egress_spec = TARGET;
        } else if (m.op == BEGIN || m.op == AGAIN || m.op == FETCH) {
            m.reply = 1; /* a control packet that leads to no READ goes back, as the answer to it */
            standard.egress_spec = OBSERVER;
        }
    }
}

control Rewrite(inout headers_t hdr, inout metadata_t m, inout standard_metadata_t standard) {
    register<bit<96>>(16) asked; /* by the READ that is awaited: its number is in `states` */
    bit<48> mac;
    bit<96> wanted;
    bit<32> len;
    bit<32> number;
    apply {
        if (m.near == 0) {
            m.delta = 0;
        }
        len = m.len;
        if (m.next_level != 0) {
            len = 8;
        }
        m.wire = m.wire + m.delta;
        wanted = m.wire ++ len;
        if (m.ask == 1 && m.op == AGAIN) {
            asked.read(wanted, m.at);
        } else if (m.ask == 1) {
            asked.write(m.at, wanted);
        }
        number = m.next_psn;
        if (m.op == BEGIN) {
            number = hdr.order.psn;
        } else if (m.op == AGAIN) {
            number = m.psn;
        }
        if (m.ask == 1) {
            if (m.op == ANSWER) {
                mac = hdr.ethernet.dst;
                hdr.ethernet.dst = hdr.ethernet.src;
                hdr.ethernet.src = mac;
            }
            hdr.order.setInvalid();
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
            hdr.bth.psn = number[23:0];
            hdr.reth.setValid();
            hdr.reth.address = wanted[95:32];
            hdr.reth.rkey = m.rkey;
            hdr.reth.len = wanted[31:0];
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
            if (m.op == BEGIN) {
                hdr.reply.status = 4w0 ++ m.next_status;
            }
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
        packet.emit(hdr.order);
        packet.emit(hdr.reply);
    }
}

V1Switch(Parse(), Verify(), Chase(), Rewrite(), Compute(), Deparse()) main;
