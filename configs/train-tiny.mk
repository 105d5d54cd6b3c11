# `make train-tiny`: from seeds to weights of `tiny`. Hours on two cores; each step ends with a file,
# and one that was broken off goes on where it stopped. The weights that ship came another way, in
# four rounds with the same stages: docs/EXPERIMENTS.md tells theirs.
TINY       ?= build/tiny
TINY_SEEDS := 3000 4000
TINY_WORLD := world=train world.scenes=40 world.pairs=800 world.runs=2 world.approaching=170 world.left_turns=30
# Packed folders on which it is told meanwhile what is seen.
TINY_VAL   ?=
TINY_PACK  := data=nuscenes data.frames=2 data.command=route
TINY_PACKS := $(foreach seed,$(TINY_SEEDS),$(TINY)/$(seed)/synth $(TINY)/$(seed)/twins)

comma := ,
empty :=
space := $(empty) $(empty)

# Scenes and pairs of all worlds and their mirror images.
TINY_DATA  := data.path=$(firstword $(TINY_PACKS)) \
	also=[$(subst $(space),$(comma),$(wordlist 2,99,$(TINY_PACKS)))] \
	train.mirror=true train.precision=bfloat16 train.workers=1 cache=$(TINY)/cache

# Clips of pairs to one of scenes: pairs show best what to look for, scenes how one drives.
tiny_mixture = train.mixture=[$(subst $(space),$(comma),$(foreach seed,$(TINY_SEEDS),1 $(1)))]

TINY_PERCEIVE := $(BIN)/drivevlm train $(TINY_DATA) $(call tiny_mixture,3) \
	stage=[perceive] train.batch=32 train.clip=5 \
	$(if $(TINY_VAL),val.path=$(firstword $(TINY_VAL)) \
	val.also=[$(subst $(space),$(comma),$(wordlist 2,99,$(TINY_VAL)))] train.val_every=1000)
TINY_AHEAD := train.reframed=1 prompt.images.cameras=[CAM_FRONT]

.PHONY: train-tiny
.SECONDARY:
train-tiny: $(TINY)/weights/model.safetensors

$(TINY)/%/world/made.json: | $(VENV)/.test-ready
	$(BIN)/drivevlm sim make $(TINY_WORLD) world.seed=$* out=$(@D)

$(TINY)/%/synth/manifest.json: $(TINY)/%/world/made.json
	$(BIN)/drivevlm pack $(TINY_PACK) data.root=$(<D) data.version=v1.0-synth out=$(@D)

$(TINY)/%/twins/manifest.json: $(TINY)/%/world/made.json
	$(BIN)/drivevlm pack $(TINY_PACK) data.root=$(<D) data.version=v1.0-twins out=$(@D)

# Tokens must show what is there: all cameras shortly, then the front one at length.
$(TINY)/looks.done: $(addsuffix /manifest.json,$(TINY_PACKS))
	$(TINY_PERCEIVE) out=$(TINY)/looks train.steps=400 train.rates.projector=3e-3
	touch $@

$(TINY)/looks-ahead.done: $(TINY)/looks.done
	$(TINY_PERCEIVE) $(TINY_AHEAD) out=$(TINY)/looks-ahead start=$(TINY)/looks/last train.steps=4000 \
		train.rates.projector=3e-3
	touch $@

$(TINY)/looks-on.done: $(TINY)/looks-ahead.done
	$(TINY_PERCEIVE) $(TINY_AHEAD) out=$(TINY)/looks-on start=$(TINY)/looks-ahead/last \
		train.steps=6000 train.rates.projector=2e-3
	touch $@

# And the decoder must answer by them.
$(TINY)/answers.done: $(TINY)/looks-on.done
	$(BIN)/drivevlm train $(TINY_DATA) $(call tiny_mixture,2) out=$(TINY)/answers \
		start=$(TINY)/looks-on/last stage=[sft] train.steps=2600 train.batch=16 train.clip=2 \
		train.rates.projector=6e-4 train.rates.decoder=1e-3 train.perception=.15 \
		train.spread_bins=1 train.dropout.ego_status=.1 train.dropout.block=.1 \
		'train.forms={full: .2, plan_first: 0, plan_only: .5, brief: .3}'
	touch $@

$(TINY)/weights/model.safetensors: $(TINY)/answers.done
	$(BIN)/drivevlm model export model=$(TINY)/answers/last out=$(@D) dtype=bfloat16
