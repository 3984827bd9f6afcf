import re
import sys
import time

import pytest

from dupl.errors import UserError
from dupl.execute.order import Order

pytest.importorskip("submitit", reason='submitit is not installed: pip install ".[slurm]"')


POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


class TestSubmitit:
    """By submitit's local executor, which starts the very jobs that Slurm would."""

    def test_jobs_of_all_kinds(self, store, helpers):
        jobs = [
            store.job("a", evaluate=True),
            store.job("b", crash_at=2, crashes=1),
            store.job("c", crash_at=1, crashes=9),
        ]
        said = helpers["told"](store.start(jobs, "slurm", retries=1, max_failed=0.5), timeout=120)
        assert {name: state for name, (state, *_) in said["states"].items()} == {
            "a": "finished",
            "b": "finished",
            "c": "failed",
        }
        assert said["states"]["c"][2] == ["said before it died (exit code 1)"] * 2
        assert store.times()["a eval"] == store.times()["b crash"] == 1
        assert said["states"]["b"][3] == ["failed", "finished"]
        assert (store.root / ".slurm").is_dir()

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_jobs_outlive_a_killed_loop_and_the_next_one_waits_for_them(self, store, helpers):
        jobs = [store.job(name, iterations=60, pace=0.1) for name in "ab"]
        loop = store.start(jobs, "slurm", ttl=3)
        helpers["until"](lambda: {"a 2", "b 2"} <= set(store.lines()), timeout=60)
        loop.kill()
        loop.wait()
        said = helpers["told"](store.start(jobs), timeout=120)
        assert {state for state, *_ in said["states"].values()} == {"finished"}
        assert store.times() == {f"{name} {i}": 1 for name in "ab" for i in range(1, 61)}

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_ctrl_c(self, store, helpers):
        job = store.job("a", iterations=200, pace=0.1)
        loop = store.start([job], "slurm")
        helpers["until"](lambda: "a 2" in store.lines(), timeout=60)
        loop.terminate()
        said = helpers["told"](loop)
        assert said["why"] == "interrupted"
        assert (store.status("a").state, said["states"]["a"][3]) == ("interrupted", ["interrupted"])
        time.sleep(0.3)
        assert len(store.lines()) == store.status("a").iteration

    def test_what_submitit_does_not_know_is_told(self, tmp_path, monkeypatch):
        from dupl.execute.slurm import SlurmExecutor

        with pytest.raises(UserError, match="slurm_partitoin"):
            SlurmExecutor(tmp_path, cluster="local", settings={"slurm_partitoin": "gpu"})
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UserError, match="no srun"):
            SlurmExecutor(tmp_path)

    def test_what_slurm_refuses(self, store, tmp_path, monkeypatch):
        for name, text in (("srun", ""), ("sbatch", "echo 'invalid partition specified: typo' >&2; exit 1")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        from dupl.execute.slurm import SlurmExecutor

        executor = SlurmExecutor(tmp_path, settings={"slurm_partition": "typo"})
        with pytest.raises(UserError, match=r"did not take row a .*invalid partition.*--jobs limits") as caught:
            executor.submit(store.job("a"), Order("t"))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("said", "limit"),
        [
            ("AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: " + POLICY, 3600.0),
            ("QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: " + POLICY, 3600.0),
            ("Batch job submission failed: " + POLICY, 3600.0),
            ("Batch job submission failed: Unable to contact slurm controller (connect failure)", None),
        ],
    )
    def test_what_slurm_takes_later(self, store, tmp_path, monkeypatch, said, limit):
        from dupl.execute.executor import Away

        with pytest.raises(Away, match=re.escape(said.partition("\n")[0])) as caught:
            self.submit(store, tmp_path, monkeypatch, said)
        assert caught.value.limit == limit and "\n" not in str(caught.value)
        assert ("squeue --me" in caught.value.advice) == (limit is not None)

    def test_a_job_that_no_waiting_helps_is_refused(self, store, tmp_path, monkeypatch):
        """Slurm's message on any policy mentions the submit limit; the name before it counts."""
        with pytest.raises(UserError, match=r"did not take row a \(AssocMaxWallDurationPerJobLimit; .*policy"):
            said = "AssocMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: " + POLICY
            self.submit(store, tmp_path, monkeypatch, said)

    def submit(self, store, tmp_path, monkeypatch, said):
        """Submit a job to an sbatch that fails with a message."""
        (tmp_path / "said").write_text(f"sbatch: error: {said}\n")
        for name, text in (("srun", ""), ("sbatch", f"cat {tmp_path}/said >&2; exit 1")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        from dupl.execute.slurm import SlurmExecutor

        SlurmExecutor(tmp_path, per_run=0).submit(store.job("a"), Order("t"))

    def test_what_slurm_is_asked_for(self, tmp_path, monkeypatch):
        srun = tmp_path / "srun"
        srun.write_text("#!/bin/sh\n")
        srun.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        from dupl.execute.slurm import SlurmExecutor

        executor = SlurmExecutor(tmp_path, per_run=2, cpus=8, settings={"slurm_partition": "gpu", "timeout_min": 90})
        text = executor.executor._executor._make_submission_file_text("run", "id")
        for line in (
            "gpus-per-node=2",
            "cpus-per-task=8",
            "partition=gpu",
            "time=90",
            "signal=USR2@120",
            "ntasks-per-node=1",
        ):
            assert f"#SBATCH --{line}\n" in text
