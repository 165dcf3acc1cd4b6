cd /tmp/pol
r() { echo "=== $*"; timeout 60 ./rctl "$@" >/tmp/pol/o2 2>/tmp/pol/e2; rc=$?; echo "rc=$rc"; echo "--out"; cat -A /tmp/pol/o2; echo "--err"; cat -A /tmp/pol/e2; }
/tmp/martlet-interop-venv-894d4215b56d/bin/python - <<'P'
import pika
c=pika.BlockingConnection(pika.URLParameters("amqp://guest:guest@127.0.0.1:25901/"))
ch=c.channel()
ch.queue_declare("qa",durable=True,arguments={"x-max-length":10,"x-dead-letter-exchange":"é\t","x-tab":{"a":[1,True,None]}})
ch.queue_declare("q\tb")
ch.queue_declare("zz",durable=True,arguments={"x-queue-type":"quorum"})
ch.exchange_declare("ex1","topic",durable=True,arguments={"alternate-exchange":"amq.fanout"})
ch.queue_bind("qa","ex1","a.b",arguments={"x":1})
ch.basic_publish("","qa",b"hello")
P
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
