#!/bin/bash
# Records what rabbitmqctl 3.10.8 says of a fresh node, into the files beside this one.
#
#     RABBITMQCTL='rabbitmqctl -n NODE --erlang-cookie COOKIE' MARTLET_URL=amqp://... Interop/ctl/recordings/record.sh
#
# MARTLET_URL is that node's; the first python3 in PATH has pika (see Interop/README.md).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One command line: exit code, standard output, standard error.
r() {
    echo "=== $*"
    timeout 60 $RABBITMQCTL "$@" >"$work/out" 2>"$work/error"
    echo "rc=$?"
    echo "--out"
    cat -A "$work/out"
    echo "--err"
    cat -A "$work/error"
}

# Queues, an exchange, a binding and a message with everything that is hard to print.
topology() {
    python3 - <<'PYTHON'
import os
import pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["MARTLET_URL"])).channel()
arguments = {"x-max-length": 10, "x-dead-letter-exchange": "\u00e9\t", "x-tab": {"a": [1, True, None]}}
channel.queue_declare("qa", durable=True, arguments=arguments)
channel.queue_declare("q\tb")
channel.queue_declare("zz", durable=True, arguments={"x-queue-type": "quorum"})
channel.exchange_declare("ex1", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
channel.queue_bind("qa", "ex1", "a.b", arguments={"x": 1})
channel.basic_publish("", "qa", b"hello")
PYTHON
}

policies() {
    r set_policy p1 '^q' '{"max-length":10}' --priority 5 --apply-to queues
    r set_policy p2 '^ex' '{"alternate-exchange":"ae"}' --apply-to exchanges
    r set_policy -q p3 '.*' '{"message-ttl":1000,"dead-letter-exchange":"dlx","max-length-bytes":5}'
    r list_policies
    r list_policies -q
    r list_policies -s
    r list_policies --formatter json
    r list_policies --formatter pretty_table
    r list_policies --formatter csv
    r list_policies -p nope
    r list_policies -p nope --formatter json
    r set_operator_policy op1 '^q' '{"max-length":3}' --priority 1 --apply-to queues
    r list_operator_policies
    r list_operator_policies --formatter json
    r list_operator_policies --formatter pretty_table
    r list_queues name policy operator_policy effective_policy_definition arguments type state durable auto_delete messages memory
    r list_queues name policy operator_policy effective_policy_definition arguments type state durable auto_delete messages --formatter json
    r list_queues name messages --formatter pretty_table
    r list_queues bogus
    r list_queues
    r list_exchanges
    r list_exchanges name type durable auto_delete internal arguments policy --formatter json
    r list_exchanges name policy arguments
    r list_bindings
    r list_bindings --formatter json
    r list_bindings source_name destination_kind
    r clear_policy p1
    r clear_policy p1
    r clear_operator_policy op1
    r clear_operator_policy op1
    r set_policy bad '(' '{"max-length":10}'
    r set_policy bad 'x' '{"max-length":-1}'
    r set_policy bad 'x' '{"max-length":"a"}'
    r set_policy bad 'x' '{"message-ttl":-1}'
    r set_policy bad 'x' '{"expires":0}'
    r set_policy bad 'x' '{"nokey":0}'
    r set_policy bad 'x' '{"nokey":0,"other":1}'
    r set_policy bad 'x' '{}'
    r set_policy bad 'x' '[]'
    r set_policy bad 'x' 'notjson'
    r set_policy bad 'x' '{"overflow":"x"}'
    r set_policy bad 'x' '{"overflow":1}'
    r set_policy bad 'x' '{"dead-letter-exchange":1}'
    r set_policy bad 'x' '{"dead-letter-routing-key":1}'
    r set_policy bad 'x' '{"dead-letter-strategy":"x"}'
    r set_policy bad 'x' '{"delivery-limit":-1}'
    r set_policy bad 'x' '{"delivery-limit":"a"}'
    r set_policy bad 'x' '{"queue-mode":"x"}'
    r set_policy bad 'x' '{"queue-version":3}'
    r set_policy bad 'x' '{"max-age":"1X"}'
    r set_policy bad 'x' '{"alternate-exchange":1}'
    r set_policy bad 'x' '{"max-length-bytes":-1}'
    r set_policy bad 'x' '{"max-in-memory-length":-1}'
    r set_policy bad 'x' '{"queue-master-locator":"x"}'
    r set_policy bad 'x' '{"queue-leader-locator":"x"}'
    r set_policy bad 'x' '{"ha-mode":"x"}'
    r set_policy ok 'x' '{"ha-mode":"all"}'
    r set_policy bad 'x' '{"max-length":10}' --apply-to foo
    r set_policy bad 'x' '{"max-length":10}' --apply-to classic_queues
    r set_policy bad 'x' '{"max-length":10}' --priority abc
    r set_policy bad 'x' '{"max-length":10}' --priority 1.5
    r set_policy bad 'x'
    r set_policy bad 'x' '{"max-length":10}' extra
    r set_policy -p nope bad 'x' '{"max-length":10}'
    r set_operator_policy bad 'x' '{"dead-letter-exchange":"x"}'
    r set_operator_policy bad 'x' '{"overflow":"x"}'
    r set_operator_policy bad 'x' '{"overflow":"reject-publish"}'
    r set_operator_policy bad 'x' '{"nokey":1}'
    r set_policy bad 'x' '{"max-length":1.5}'
    r set_policy bad 'x' '{"max-length":true}'
    r set_policy bad 'x' '{"max-length":1,"message-ttl":-1,"expires":0}'
    r bogus_command
    r set_policy --bogus a b '{"max-length":1}'
    r trace_on
    r trace_off
    r trace_on -p nope
    r help set_policy
    r help
    r status
    r status --formatter json
    r list_policies --formatter bogus
    r list_consumers
    r ping
    r list_vhosts
    r version
    r
}

more() {
    r list_queues
    r list_queues name policy effective_policy_definition
    r list_queues name policy operator_policy
    r list_queues name policy effective_policy_definition arguments type state durable auto_delete messages memory
    r list_queues -q name policy arguments type durable messages_ready --formatter json
    r list_queues name policy arguments type durable messages_ready --formatter pretty_table
    r list_queues name policy arguments type durable messages_ready --formatter csv
    r list_queues name pid owner_pid exclusive exclusive_consumer_tag messages_unacknowledged consumers consumer_utilisation head_message_timestamp message_bytes slave_pids --formatter json
    r list_exchanges name type arguments policy
    r list_bindings
    r list_bindings --formatter json
    r list_bindings --formatter pretty_table
    r list_bindings source_name destination_name routing_key
    r list_queues -p nope
    r list_queues --no-table-headers
    r list_consumers --formatter json
    r set_policy neg '^(?!amq\.).*' '{"max-length":7}' --apply-to all
    r set_policy f1 'x' '{"max-length":5.0}'
    r set_policy apply 'x' '{"alternate-exchange":"a"}' --apply-to queues
    r set_policy apply 'x' '{"max-length":1}' --apply-to exchanges
    r set_policy apply 'x' '{"max-age":"1D"}' --apply-to queues
    r set_policy prio 'x' '{"max-length":1}' --priority -3
    r set_policy -p / --apply-to queues --priority 2 opt 'x' '{"max-length":1}'
    r set_policy --vhost=/ --apply-to=queues --priority=2 opt2 'x' '{"max-length":1,"message-ttl":5,"expires":7,"overflow":"drop-head","alternate-exchange":"x"}'
    r set_policy dup 'x' '{"dead-letter-routing-key":"a"}'
    r set_policy nan 'x' '{"message-ttl":99999999999999}'
    r set_policy re1 '(a)\1' '{"max-length":1}'
    r set_policy re2 '[' '{"max-length":1}'
    r set_policy re3 '*a' '{"max-length":1}'
    r set_policy re4 'a{2,1}' '{"max-length":1}'
    r set_policy re5 '(?>a)' '{"max-length":1}'
    r set_policy re6 'a\' '{"max-length":1}'
    r set_policy re7 ')' '{"max-length":1}'
    r set_policy '' '' '{"max-length":1}'
    r list_policies
    r purge_queue qa
    r delete_queue qa
    r delete_queue qa
    r trace_on -p nope
    r help set_policy
}

lists() {
    topology
    r list_queues
    r list_queues name policy arguments type state durable auto_delete messages memory
    r list_queues -q name policy arguments type durable messages_ready --formatter json
    r list_queues name policy arguments type durable messages_ready --formatter pretty_table
    r list_queues name policy arguments type durable messages_ready --formatter csv
    r list_queues name pid owner_pid exclusive exclusive_consumer_tag messages_unacknowledged consumers consumer_utilisation head_message_timestamp message_bytes slave_pids --formatter json
    r list_exchanges name type arguments policy
    r list_bindings
    r list_bindings --formatter json
    r list_bindings source_name destination_name routing_key
    r list_consumers --formatter json
    r purge_queue qa
    r delete_queue qa
}

for name in policies more lists; do
    "$name" >"$here/rabbitmqctl-$name.txt"
done
