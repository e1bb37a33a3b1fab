/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Grants one peer read-only access to this machine's memory over RDMA, and then does nothing: a memory region with
 * REMOTE_READ alone, and queue pairs that are ready to receive and never send of themselves.  What the peer needs to
 * know stands in /proc/transect_grant, for root: addresses, keys and numbers.  Removing the module ends the grant.
 *
 * Loaded by hand, by who runs the target: `insmod grant.ko device=eth0 peer=10.0.0.1`.
 */
#include <linux/inet.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/proc_fs.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <net/ipv6.h>
#include <rdma/ib_cache.h>
#include <rdma/ib_verbs.h>

#define PAIRS 16
#define PORT 1

static char *device = "eth0";
module_param(device, charp, 0444);
static char *peer = "";
module_param(peer, charp, 0444);
static uint first_peer_pair = 0x100; /* the peer's numbers of its ends: this one and those that follow */
module_param(first_peer_pair, uint, 0444);
static uint psn = 0x1000;
module_param(psn, uint, 0444);

static struct net_device *net;
static struct ib_device *rdma;
static struct ib_pd *domain;
static struct ib_mr *region;
static struct ib_cq *completions;
static struct ib_qp *pairs[PAIRS];
static struct proc_dir_entry *told;

static int range(struct resource *found, void *file)
{
	seq_printf(file, "range=%#llx-%#llx\n", found->start, found->end + 1);
	return 0;
}

static int tell(struct seq_file *file, void *unused)
{
	int i;

	seq_printf(file, "rkey=%#x\npsn=%#x\nlinear=%#lx\ninit_task=%#llx\nfirst_peer_pair=%#x\n", region->rkey,
		   psn, (unsigned long)__va(0), (u64)__pa_symbol(&init_task), first_peer_pair);
	for (i = 0; i < PAIRS; i++)
		seq_printf(file, "pair=%#x\n", pairs[i]->qp_num);
	return walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1, file, range);
}

/* The number of this machine's own IPv4 address for RoCE version 2. */
static int own_address(void)
{
	const struct ib_gid_attr *address;
	int i, found = -ENOENT;

	for (i = 0; i < 64 && found < 0; i++) {
		address = rdma_get_gid_attr(rdma, PORT, i);
		if (IS_ERR(address))
			continue;
		if (address->gid_type == IB_GID_TYPE_ROCE_UDP_ENCAP &&
		    ipv6_addr_v4mapped((struct in6_addr *)&address->gid))
			found = i;
		rdma_put_gid_attr(address);
	}
	return found;
}

static int make_ready(struct ib_qp *pair, uint number, int own, __be32 address)
{
	struct ib_qp_attr to = {
		.qp_state = IB_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags = IB_ACCESS_REMOTE_READ,
	};
	union ib_gid gid = {};
	int failed = ib_modify_qp(pair, &to, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);

	if (failed)
		return failed;
	ipv6_addr_set_v4mapped(address, (struct in6_addr *)&gid);
	memset(&to, 0, sizeof(to));
	to.qp_state = IB_QPS_RTR;
	to.path_mtu = IB_MTU_1024;
	to.dest_qp_num = number;
	to.rq_psn = psn;
	to.max_dest_rd_atomic = 16;
	to.min_rnr_timer = 1;
	to.ah_attr.type = RDMA_AH_ATTR_TYPE_ROCE;
	rdma_ah_set_port_num(&to.ah_attr, PORT);
	rdma_ah_set_grh(&to.ah_attr, &gid, 0, own, 64, 0);
	return ib_modify_qp(pair, &to,
			    IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
				    IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER);
}

static int make_pairs(int own, __be32 address)
{
	struct ib_qp_init_attr wanted = {
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.qp_type = IB_QPT_RC,
	};
	int i, failed = 0;

	wanted.send_cq = wanted.recv_cq = completions;
	for (i = 0; i < PAIRS && !failed; i++) {
		pairs[i] = ib_create_qp(domain, &wanted);
		if (IS_ERR(pairs[i])) {
			failed = PTR_ERR(pairs[i]);
			pairs[i] = NULL;
		} else {
			failed = make_ready(pairs[i], first_peer_pair + i, own, address);
		}
	}
	return failed;
}

static void take_back(void)
{
	int i;

	if (told)
		proc_remove(told);
	for (i = 0; i < PAIRS; i++)
		if (pairs[i])
			ib_destroy_qp(pairs[i]);
	if (completions)
		ib_free_cq(completions);
	if (region)
		region->device->ops.dereg_mr(region, NULL);
	if (domain)
		ib_dealloc_pd(domain);
	if (rdma)
		ib_device_put(rdma);
	if (net)
		dev_put(net);
}

static int give(__be32 address)
{
	int own;

	net = dev_get_by_name(&init_net, device);
	rdma = net ? ib_device_get_by_netdev(net, RDMA_DRIVER_UNKNOWN) : NULL;
	if (!rdma)
		return -ENODEV;
	own = own_address();
	if (own < 0)
		return own;
	domain = ib_alloc_pd(rdma, 0);
	if (IS_ERR(domain)) {
		own = PTR_ERR(domain);
		domain = NULL;
		return own;
	}
	region = rdma->ops.get_dma_mr(domain, IB_ACCESS_REMOTE_READ);
	if (IS_ERR(region)) {
		own = PTR_ERR(region);
		region = NULL;
		return own;
	}
	region->device = rdma;
	region->pd = domain;
	completions = ib_alloc_cq_any(rdma, NULL, 16, IB_POLL_SOFTIRQ);
	if (IS_ERR(completions)) {
		own = PTR_ERR(completions);
		completions = NULL;
		return own;
	}
	own = make_pairs(own, address);
	if (own)
		return own;
	told = proc_create_single("transect_grant", 0400, NULL, tell);
	return told ? 0 : -ENOMEM;
}

static int __init grant_init(void)
{
	__be32 address;
	int failed = -EINVAL;

	if (in4_pton(peer, -1, (u8 *)&address, -1, NULL))
		failed = give(address);
	if (failed)
		take_back();
	return failed;
}

static void __exit grant_exit(void)
{
	take_back();
}

module_init(grant_init);
module_exit(grant_exit);
MODULE_DESCRIPTION("grants one peer read-only access to memory over RDMA");
MODULE_LICENSE("Dual MIT/GPL");
