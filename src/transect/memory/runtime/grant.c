/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Grants one peer read-only access to this machine's memory over RDMA, and then does nothing: a memory region with
 * REMOTE_READ alone, and queue pairs that are ready to receive and never send of themselves.  What the peer needs to
 * know stands in /proc/transect_grant, for root: addresses, keys and numbers.  Removing the module ends the grant.
 *
 * The peer's RDMA card, if it has one, numbers its queue pairs itself.  It connects to `port`, and is given one.
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
#include <linux/workqueue.h>
#include <net/ipv6.h>
#include <rdma/ib_cache.h>
#include <rdma/ib_verbs.h>
#include <rdma/rdma_cm.h>

#define PAIRS 16
#define PORT 1
#define READS 16 /* under way on a queue pair */

static char *device = "eth0";
module_param(device, charp, 0444);
static char *peer = "";
module_param(peer, charp, 0444);
static uint first_peer_pair = 0x100; /* the peer's numbers of its ends: this one and those that follow */
module_param(first_peer_pair, uint, 0444);
static uint psn = 0x1000;
module_param(psn, uint, 0444);
static ushort port; /* of TCP's numbers, where the peer's card connects; 0: it cannot */
module_param(port, ushort, 0444);

struct guest { /* a connection */
	struct rdma_cm_id *id;
	struct work_struct leaving;
};

static struct in6_addr reader; /* the peer */
static struct net_device *net;
static struct ib_device *rdma;
static struct ib_pd *domain;
static struct ib_mr *region;
static struct ib_cq *completions;
static struct ib_qp *pairs[PAIRS];
static struct proc_dir_entry *told;
static struct rdma_cm_id *listener;
static struct guest guests[PAIRS];
static u64 linear; /* what the device takes for physical address 0 */

static int range(struct resource *found, void *file)
{
	seq_printf(file, "range=%#llx-%#llx\n", found->start, found->end + 1);
	return 0;
}

static int tell(struct seq_file *file, void *unused)
{
	int i;

	seq_printf(file, "rkey=%#x\npsn=%#x\nlinear=%#llx\ninit_task=%#llx\nfirst_peer_pair=%#x\nport=%u\n",
		   region->rkey, psn, linear, (u64)__pa_symbol(&init_task), first_peer_pair, port);
	for (i = 0; i < PAIRS; i++)
		seq_printf(file, "pair=%#x\n", pairs[i]->qp_num);
	return walk_iomem_res_desc(IORES_DESC_NONE, IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1, file, range);
}

/*
 * Addresses as the device takes them: those of the kernel for one in software, those of the bus for a card.  With an
 * IOMMU in between that translates, there are none which hold for all of memory.
 */
static int find_linear(void)
{
	void *page = (void *)__get_free_page(GFP_KERNEL);
	u64 address;
	int failed = 0;

	if (!page)
		return -ENOMEM;
	address = ib_dma_map_single(rdma, page, PAGE_SIZE, DMA_TO_DEVICE);
	if (ib_dma_mapping_error(rdma, address)) {
		failed = -EIO;
	} else {
		linear = address - __pa(page);
		ib_dma_unmap_single(rdma, address, PAGE_SIZE, DMA_TO_DEVICE);
		if (linear && !ib_uses_virt_dma(rdma)) {
			pr_err("grant: %s sees memory through an IOMMU that translates; boot with iommu=pt\n", device);
			failed = -EOPNOTSUPP;
		}
	}
	free_page((unsigned long)page);
	return failed;
}

/* The number of this machine's own IPv4 address for RoCE version 2; and the address. */
static int own_address(__be32 *here)
{
	const struct ib_gid_attr *address;
	int i, found = -ENOENT;

	for (i = 0; i < 64 && found < 0; i++) {
		address = rdma_get_gid_attr(rdma, PORT, i);
		if (IS_ERR(address))
			continue;
		if (address->gid_type == IB_GID_TYPE_ROCE_UDP_ENCAP &&
		    ipv6_addr_v4mapped((struct in6_addr *)&address->gid)) {
			found = i;
			memcpy(here, address->gid.raw + 12, sizeof(*here));
		}
		rdma_put_gid_attr(address);
	}
	return found;
}

static int make_ready(struct ib_qp *pair, uint number, int own)
{
	struct ib_qp_attr to = {
		.qp_state = IB_QPS_INIT,
		.port_num = PORT,
		.qp_access_flags = IB_ACCESS_REMOTE_READ,
	};
	union ib_gid gid;
	int failed = ib_modify_qp(pair, &to, IB_QP_STATE | IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_ACCESS_FLAGS);

	if (failed)
		return failed;
	memcpy(&gid, &reader, sizeof(gid));
	memset(&to, 0, sizeof(to));
	to.qp_state = IB_QPS_RTR;
	to.path_mtu = IB_MTU_1024;
	to.dest_qp_num = number;
	to.rq_psn = psn;
	to.max_dest_rd_atomic = READS;
	to.min_rnr_timer = 1;
	to.ah_attr.type = RDMA_AH_ATTR_TYPE_ROCE;
	rdma_ah_set_port_num(&to.ah_attr, PORT);
	rdma_ah_set_grh(&to.ah_attr, &gid, 0, own, 64, 0);
	return ib_modify_qp(pair, &to,
			    IB_QP_STATE | IB_QP_AV | IB_QP_PATH_MTU | IB_QP_DEST_QPN | IB_QP_RQ_PSN |
				    IB_QP_MAX_DEST_RD_ATOMIC | IB_QP_MIN_RNR_TIMER);
}

static struct ib_qp_init_attr wanted = {
	.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
	.sq_sig_type = IB_SIGNAL_REQ_WR,
	.qp_type = IB_QPT_RC,
};

static int make_pairs(int own)
{
	int i, failed = 0;

	for (i = 0; i < PAIRS && !failed; i++) {
		pairs[i] = ib_create_qp(domain, &wanted);
		if (IS_ERR(pairs[i])) {
			failed = PTR_ERR(pairs[i]);
			pairs[i] = NULL;
		} else {
			failed = make_ready(pairs[i], first_peer_pair + i, own);
		}
	}
	return failed;
}

/* Ends a connection: the peer's leaving, or ours. */
static void show_out(struct work_struct *work)
{
	struct rdma_cm_id *id = xchg(&container_of(work, struct guest, leaving)->id, NULL);

	if (!id)
		return;
	rdma_disconnect(id);
	rdma_destroy_qp(id);
	rdma_destroy_id(id); /* waits until nothing is told of it any more */
}

/* Who wants to connect: the peer alone, over the granting device.  Answers go to where the path leads. */
static int welcome(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rdma_conn_param terms = {
		.responder_resources = min_t(u8, event->param.conn.responder_resources, READS),
	};
	int i, failed;

	if (id->device != rdma || memcmp(&id->route.path_rec->dgid, &reader, sizeof(reader)))
		return -EACCES;
	for (i = 0; i < PAIRS && READ_ONCE(guests[i].id); i++)
		;
	if (i == PAIRS)
		return -ENOSPC;
	failed = rdma_create_qp(id, domain, &wanted);
	if (failed)
		return failed;
	failed = rdma_accept(id, &terms);
	if (failed) {
		rdma_destroy_qp(id);
		return failed;
	}
	id->context = &guests[i];
	WRITE_ONCE(guests[i].id, id);
	return 0;
}

/* What the connection manager tells; not 0: there is no such connection any more. */
static int met(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct guest *guest = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		return welcome(id, event);
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_DISCONNECTED:
		if (guest && READ_ONCE(guest->id) == id)
			schedule_work(&guest->leaving);
		break;
	default:
		break;
	}
	return 0;
}

static int open_door(__be32 own)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = own };
	struct rdma_cm_id *made = rdma_create_id(&init_net, met, NULL, RDMA_PS_TCP, IB_QPT_RC);
	int i, failed;

	if (IS_ERR(made))
		return PTR_ERR(made);
	for (i = 0; i < PAIRS; i++)
		INIT_WORK(&guests[i].leaving, show_out);
	listener = made;
	failed = rdma_bind_addr(listener, (struct sockaddr *)&here);
	return failed ? failed : rdma_listen(listener, PAIRS);
}

static void close_door(void)
{
	int i;

	if (!listener)
		return;
	rdma_destroy_id(listener); /* nobody comes any more */
	for (i = 0; i < PAIRS; i++) {
		schedule_work(&guests[i].leaving);
		flush_work(&guests[i].leaving);
		cancel_work_sync(&guests[i].leaving); /* told of while it was shown out */
	}
}

static void take_back(void)
{
	int i;

	if (told)
		proc_remove(told);
	close_door();
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

static int make_region(void)
{
	int failed;

	domain = ib_alloc_pd(rdma, 0);
	if (IS_ERR(domain)) {
		failed = PTR_ERR(domain);
		domain = NULL;
		return failed;
	}
	region = rdma->ops.get_dma_mr(domain, IB_ACCESS_REMOTE_READ);
	if (IS_ERR(region)) {
		failed = PTR_ERR(region);
		region = NULL;
		return failed;
	}
	region->device = rdma;
	region->pd = domain;
	completions = ib_alloc_cq_any(rdma, NULL, 16, IB_POLL_SOFTIRQ);
	if (IS_ERR(completions)) {
		failed = PTR_ERR(completions);
		completions = NULL;
		return failed;
	}
	wanted.send_cq = wanted.recv_cq = completions;
	return 0;
}

static int give(void)
{
	__be32 here;
	int own, failed;

	net = dev_get_by_name(&init_net, device);
	rdma = net ? ib_device_get_by_netdev(net, RDMA_DRIVER_UNKNOWN) : NULL;
	if (!rdma)
		return -ENODEV;
	own = own_address(&here);
	if (own < 0)
		return own;
	failed = find_linear();
	if (!failed)
		failed = make_region();
	if (!failed)
		failed = make_pairs(own);
	if (!failed && port)
		failed = open_door(here);
	if (failed)
		return failed;
	told = proc_create_single("transect_grant", 0400, NULL, tell);
	return told ? 0 : -ENOMEM;
}

static int __init grant_init(void)
{
	__be32 address;
	int failed = -EINVAL;

	if (in4_pton(peer, -1, (u8 *)&address, -1, NULL)) {
		ipv6_addr_set_v4mapped(address, &reader);
		failed = give();
	}
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
