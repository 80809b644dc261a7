"""What a program with Paho does at the broker, over TLS, in both versions of MQTT. Run by tests/paho.rs:

    with_paho.py PAHO_MAJOR_VERSION HOST PORT CA_FILE PASSWORD

Prints a line for each thing that worked, and fails at the first that did not."""

import queue
import sys

import paho.mqtt
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30
MESSAGES = 300
MAJOR, HOST, PORT, CA_FILE, PASSWORD = sys.argv[1:]
VERSIONS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
# Bad user name or password, or not authorised: in 3.1.1, in 5, and as Paho 2 calls those of 3.1.1.
REFUSED = {"3.1.1": (4, 5, 134, 135), "5": (134, 135)}


class Client:
    """A client whose CONNACKs and messages lie in queues."""

    def __init__(self, version, client_id, stays=False, password=PASSWORD, will=None):
        self.version, self.stays = version, stays
        self.answers, self.messages = queue.Queue(), queue.Queue()
        self.granted, self.acknowledged = queue.Queue(), queue.Queue()
        options = {"client_id": client_id, "protocol": VERSIONS[version], "reconnect_on_failure": False}
        if version == "3.1.1":
            options["clean_session"] = not stays
        if MAJOR == "2":
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
        self.paho = mqtt.Client(**options)
        self.paho.username_pw_set("admin", password)
        self.paho.tls_set(CA_FILE)
        if will:
            self.paho.will_set(*will)
        self.paho.on_connect = lambda _client, _data, flags, code, *_: self.answers.put((flags, code))
        self.paho.on_message = lambda _client, _data, message: self.messages.put(message)
        self.paho.on_subscribe = lambda *_: self.granted.put(True)
        self.paho.on_publish = lambda *_: self.acknowledged.put(True)

    def start(self):
        """Connects; whether the broker had a session, and the code of its answer."""
        options = {}
        if self.version == "5":
            options["clean_start"] = not self.stays
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 60 if self.stays else 0
        self.paho.connect(HOST, int(PORT), **options)
        self.paho.loop_start()
        flags, code = self.answers.get(timeout=PATIENCE_S)
        present = flags["session present"] if isinstance(flags, dict) else flags.session_present
        return bool(present), getattr(code, "value", code)

    def connect(self):
        present, code = self.start()
        assert code == 0, code
        return present

    def subscribe(self, topic, qos=1):
        self.paho.subscribe(topic, qos)
        self.granted.get(timeout=PATIENCE_S)

    def publish(self, topic, text, qos=1, **more):
        sent = self.paho.publish(topic, text, qos, **more)
        sent.wait_for_publish(PATIENCE_S)
        assert sent.is_published(), text

    def message(self):
        return self.messages.get(timeout=PATIENCE_S)

    def text(self):
        return self.message().payload.decode()

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def die(self):
        """Goes without DISCONNECT."""
        self.paho.loop_stop()
        self.paho.socket().close()


def away_and_back(version, sender):
    display = Client(version, f"display-{MAJOR}-{version}", stays=True)
    assert not display.connect()
    display.subscribe("home/session")
    display.leave()
    texts = [str(number) for number in range(MESSAGES)]
    for text in texts:
        sender.publish("home/session", text)
    back = Client(version, f"display-{MAJOR}-{version}", stays=True)
    assert back.connect(), "the session is there"
    assert [back.text() for _ in texts] == texts
    sender.publish("home/session", "live")
    assert back.text() == "live"
    back.leave()


def each_qos(version, sender):
    display = Client(version, "qos")
    display.connect()
    display.subscribe("home/qos", 2)
    for qos in range(3):
        sender.publish("home/qos", str(qos), qos)
        got = display.message()
        assert (got.payload, got.qos, got.retain) == (str(qos).encode(), qos, 0), got
    display.leave()


def will(version, sender):
    display = Client(version, "watcher")
    display.connect()
    display.subscribe("home/will")
    mortal = Client(version, "mortal", will=("home/will", "gone", 1, True))
    mortal.connect()
    mortal.die()
    assert display.text() == "gone"
    late = Client(version, "late")
    late.connect()
    late.subscribe("home/will")
    got = late.message()
    assert (got.payload, got.retain) == (b"gone", 1), "the will was retained"
    sender.publish("home/will", "", retain=True)
    for client in (display, late):
        client.leave()


def refusal(version, sender):
    display = Client(version, "witness")
    display.connect()
    display.subscribe("home/refused")
    stranger = Client(version, "stranger", password="a wrong password")
    # Paho keeps it for when it is connected.
    stranger.paho.publish("home/refused", "by a stranger", 1)
    _, code = stranger.start()
    assert code in REFUSED[version], code
    # The thread ends by itself, for it shall not try again; Paho forgets it then.
    thread = stranger.paho._thread
    if thread:
        thread.join(PATIENCE_S)
    assert not stranger.paho._thread or not stranger.paho._thread.is_alive()
    assert stranger.answers.empty() and not stranger.paho.is_connected() and stranger.acknowledged.empty()
    sender.publish("home/refused", "by the sender")
    assert display.text() == "by the sender"
    display.leave()


def properties(sender):
    display = Client("5", "properties")
    display.connect()
    wish = Properties(PacketTypes.SUBSCRIBE)
    wish.SubscriptionIdentifier = 7
    display.paho.subscribe("home/properties", options=mqtt.SubscribeOptions(qos=1), properties=wish)
    display.granted.get(timeout=PATIENCE_S)
    given = Properties(PacketTypes.PUBLISH)
    given.UserProperty = [("unit", "°C"), ("unit", "K"), ("bed", "7")]
    given.ContentType = "text/plain"
    given.ResponseTopic = "home/answer"
    given.CorrelationData = b"\x00\xff"
    given.PayloadFormatIndicator = 1
    given.MessageExpiryInterval = 600
    given.TopicAlias = 3
    # The second knows its topic by the alias alone.
    for topic in ("home/properties", ""):
        sender.publish(topic, "37", properties=given)
        got = display.message()
        assert (got.topic, got.payload) == ("home/properties", b"37")
        got = got.properties
        assert got.UserProperty == given.UserProperty, got.UserProperty
        assert (got.ContentType, got.ResponseTopic) == ("text/plain", "home/answer")
        assert (got.CorrelationData, got.PayloadFormatIndicator) == (b"\x00\xff", 1)
        assert 0 < got.MessageExpiryInterval <= 600
        assert got.SubscriptionIdentifier == [7] and not hasattr(got, "TopicAlias")
    display.leave()


def main():
    assert paho.mqtt.__version__.split(".")[0] == MAJOR, paho.mqtt.__version__
    for version in VERSIONS:
        sender = Client(version, "sender")
        sender.connect()
        for scene in (away_and_back, each_qos, will, refusal):
            scene(version, sender)
            print(version, scene.__name__, flush=True)
        if version == "5":
            properties(sender)
            print(version, properties.__name__, flush=True)
        sender.leave()


main()
