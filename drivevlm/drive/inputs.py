"""The topics that the node hears: each message is converted and handed to the runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from drivevlm.drive.buffers import Objects
from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.calibration import Calibrator
from drivevlm.drive.frames import FrameTree
from drivevlm.drive.health import Level
from drivevlm.drive.messages.cameras import camera_info, info_key
from drivevlm.drive.messages.fields import BadMessageError
from drivevlm.drive.messages.images import (
    RgbFromImage,
    encoded_of_compressed,
    ppm_of,
    size_px_of,
)
from drivevlm.drive.messages.objects import ToldObjects, detections, predicted_objects
from drivevlm.drive.messages.odometry import odometry_sample, static_transforms
from drivevlm.drive.messages.route import goal_of, route_command
from drivevlm.drive.messages.stamps import Nanoseconds, us_of
from drivevlm.drive.node_config import NodeConfig, ObjectsType, Transport
from drivevlm.drive.notices import Notices
from drivevlm.drive.odometry import OdometrySample
from drivevlm.drive.placing import Placer
from drivevlm.drive.routing import Router
from drivevlm.drive.runtime import Runtime
from drivevlm.drive.topics import (
    CAMERA_INFO,
    COMPRESSED,
    DETECTIONS,
    IMAGE,
    KINEMATIC_STATE,
    NAVIGATION_COMMAND,
    PREDICTED_OBJECTS,
    ROUTE,
    TF_STATIC,
    Names,
    Topic,
)
from drivevlm.drive.worker import one_line
from drivevlm.world.clip import RouteCommand

OBJECTS_TOPIC = {ObjectsType.PREDICTED: PREDICTED_OBJECTS, ObjectsType.DETECTION: DETECTIONS}


class InputError(Exception):
    """An input that was asked for cannot be heard; the message is one line."""


def heard_topics(config: NodeConfig) -> tuple[tuple[Topic, str | None], ...]:
    """What a node with these settings hears: topics, with the camera of those that have one."""
    kind, found = config.objects.type, list[tuple[Topic, str | None]]()
    image = IMAGE if config.camera.transport is Transport.RAW else COMPRESSED
    cameras = config.drive.sync.cameras
    unknown = [name for name in cameras if not config.calibration_of(name).is_whole]
    for name in cameras:
        found.append((image, name))
        if name in unknown:
            found.append((CAMERA_INFO, name))
    found += [(KINEMATIC_STATE, None), (NAVIGATION_COMMAND, None)]
    if config.route.use:
        found.append((replace(ROUTE, qos=replace(ROUTE.qos, latched=config.route.latched)), None))
    if kind is not ObjectsType.NONE:
        found.append((OBJECTS_TOPIC[kind], None))
    if kind is not ObjectsType.NONE or unknown:
        found.append((TF_STATIC, None))
    return tuple(found)


class Inputs:
    """Hears, converts and hands over. No message can make it raise: bad ones are counted and told.

    What is said once (calibrations, static frames, commands, routes) is kept from the moment the
    node is configured; pictures, odometry and objects are passed on while a runtime is there.
    Acceleration and steering are not heard: the ego status of a decision is made of the poses
    alone, as in a recording, so that the same drive gets the same decisions.

    Args:
        bus: Where messages come from.
        names: Of the topics.
        config: Settings.
        notices: Is told of bad messages and of what is lacking.
        nanoseconds: Remembers the anchor's stamps in full.
        rgb_of_image: Pixels of a ``sensor_msgs/Image``.
    """

    def __init__(
        self,
        bus: Bus,
        names: Names,
        config: NodeConfig,
        *,
        notices: Notices,
        nanoseconds: Nanoseconds,
        rgb_of_image: RgbFromImage,
    ) -> None:
        self._bus = bus
        self._names = names
        self._config = config
        self._notices = notices
        self._nanoseconds = nanoseconds
        self._rgb_of_image = rgb_of_image
        self._lock = threading.Lock()
        self._tree = FrameTree()
        self._calibrator = Calibrator(config, self._tree)
        self._placer = self._new_placer()
        self._router = Router(config.route)
        self._info_keys: dict[str, tuple[object, ...]] = {}
        self._now: OdometrySample | None = None
        self._command: RouteCommand | None = None
        self._runtime: Runtime | None = None
        self._ends: list[Callable[[], None]] = []

    def open(self) -> None:
        """Subscribe. Raises InputError or TopicError, and hears nothing then."""
        try:
            self._subscribe()
        except Exception:
            self.close()
            raise
        self._tell_lacking()

    def close(self) -> None:
        """Hear no more."""
        self.attach(None)
        ends, self._ends = self._ends, []
        for end in ends:
            end()

    def attach(self, runtime: Runtime | None) -> None:
        """Hand over to this runtime from now on, after all that was said once."""
        with self._lock:
            self._runtime = runtime
            self._now, self._placer = None, self._new_placer()
            if runtime is None:
                return
            for name in self._calibrator.names:
                self._pass_on(name)
            self._command = self._router.command(None)
            runtime.on_command(self._command)

    def _new_placer(self) -> Placer:
        config = self._config
        return Placer(config.drive.odometry, self._tree, base_frame=config.base_frame)

    def _subscribe(self) -> None:
        handlers: dict[str, Callable[..., Sequence[str]]] = {
            COMPRESSED.name: self._on_image,
            IMAGE.name: self._on_image,
            CAMERA_INFO.name: self._on_camera_info,
            KINEMATIC_STATE.name: self._on_odometry,
            NAVIGATION_COMMAND.name: self._on_command,
            ROUTE.name: self._on_route,
            DETECTIONS.name: self._on_objects,
            TF_STATIC.name: self._on_static_frames,
        }
        for topic, camera in heard_topics(self._config):
            handle = handlers[topic.name]
            self._hear(topic, handle if camera is None else partial(handle, camera), camera)

    def _hear(
        self,
        topic: Topic,
        handle: Callable[[Message], Sequence[str]],
        camera: str | None = None,
    ) -> None:
        """``handle`` returns what is wrong with a part of a message, or raises."""
        name, short = self._names.of(topic, camera), topic.short(camera or "")
        if not self._bus.knows(topic.type_name):
            raise InputError(
                f"{name} needs {topic.type_name}, which is not there: source its package"
            )

        def hear(message: Message) -> None:
            try:
                complaints = handle(message)
            except BadMessageError as error:
                complaints = [str(error)]
            # Whatever a peer sends, and whatever is wrong with reading it, the executor's thread
            # must go on: a camera that falls silent over one message is worse.
            except Exception as error:  # noqa: BLE001
                complaints = [one_line(error)]
            if complaints:
                self._complain(name, complaints)
            self._notices.taken(short)

        self._notices.hears(short)
        self._ends.append(self._bus.subscribe(name, topic.type_name, topic.qos, hear))

    def _complain(self, name: str, complaints: Sequence[str]) -> None:
        self._notices.bad(name, "; ".join(dict.fromkeys(complaints)), self._bus.now_us())

    def _on_image(self, name: str, message: Message) -> Sequence[str]:
        runtime = self._runtime
        if runtime is None:
            return ()
        is_anchor = name == self._config.drive.sync.anchor
        stamp = message.header.stamp
        stamp_us = self._nanoseconds.us_of(stamp) if is_anchor else us_of(stamp)
        if self._config.camera.transport is Transport.RAW:
            encoded = ppm_of(self._rgb_of_image(message))
        else:
            encoded = encoded_of_compressed(message)
        if self._calibrator.needs_size(name):
            with self._lock:
                self._calibrator.saw(name, size_px_of(encoded))
                self._pass_on(name)
            self._tell_lacking()
        runtime.on_image(name, stamp_us, encoded)
        return ()

    def _on_camera_info(self, name: str, message: Message) -> Sequence[str]:
        key = info_key(message)
        if self._info_keys.get(name) == key:
            return ()
        info = camera_info(message, rectified=self._config.camera.rectified)
        with self._lock:
            self._info_keys[name] = key
            self._calibrator.heard(name, info)
            self._pass_on(name)
        self._tell_lacking()
        return ()

    def _on_static_frames(self, message: Message) -> Sequence[str]:
        edges, complaints = static_transforms(message)
        with self._lock:
            for edge in edges:
                self._tree.add(edge)
            for name in self._calibrator.names:
                self._pass_on(name)
        self._tell_lacking()
        return complaints

    def _on_odometry(self, message: Message) -> Sequence[str]:
        runtime = self._runtime
        if runtime is None:
            return ()
        sample = odometry_sample(message, base_frame=self._config.base_frame)
        objects: Objects | None = None
        with self._lock:
            self._now = sample
            try:
                objects = self._placer.moved(sample)
            except BadMessageError as error:
                self._complain(
                    self._names.of(OBJECTS_TOPIC[self._config.objects.type]), [str(error)]
                )
            self._say_command()
        if objects is not None:
            runtime.on_objects(objects)
        runtime.on_odometry(sample)
        return ()

    def _on_objects(self, message: Message) -> Sequence[str]:
        runtime = self._runtime
        if runtime is None:
            return ()
        told = self._told_objects(message)
        with self._lock:
            objects = self._placer.placed(told)
        if objects is not None:
            runtime.on_objects(objects)
        return told.complaints

    def _told_objects(self, message: Message) -> ToldObjects:
        if self._config.objects.type is ObjectsType.PREDICTED:
            return predicted_objects(message)
        return detections(message, self._config.objects.categories)

    def _on_command(self, message: Message) -> Sequence[str]:
        command = route_command(message)
        with self._lock:
            self._router.said(command)
            self._say_command()
        return ()

    def _on_route(self, message: Message) -> Sequence[str]:
        goal = goal_of(message)
        with self._lock:
            self._router.goes_to(goal)
            self._say_command()
        return ()

    def _say_command(self) -> None:
        """Tell the runtime what is asked for, where it changed. The lock is held."""
        command = self._router.command(self._now)
        if self._runtime is not None and command != self._command:
            self._command = command
            self._runtime.on_command(command)
        complaint = None if self._now is None else self._router.complaint(self._now)
        self._notices.say("route", Level.WARN, complaint)

    def _pass_on(self, name: str) -> None:
        """Tell the runtime of a camera, as far as it is known. The lock is held."""
        camera = self._calibrator.camera(name)
        if camera is not None and self._runtime is not None:
            self._runtime.on_camera(camera)

    def _tell_lacking(self) -> None:
        with self._lock:
            lacking, bent = self._calibrator.lacking(), self._calibrator.bent()
        self._notices.say("cameras", Level.WARN, "; ".join(lacking.values()))
        self._notices.say("lenses", Level.WARN, "; ".join(bent.values()))
