//! Examples and exit codes at the end of `--help` and in the manual page.

/// Examples at the end of `--help` and of the manual page.
pub const EXAMPLES: &str = "\
  classify cat.jpg                                    the set-up's default model on the CPU
  classify cat.jpg car.bmp -m model.xml -d GPU        OpenVINO on a GPU
  classify photos/ -m model.onnx --backend onnx       a directory, on ONNX Runtime, the reference
  classify 'photos/*.{jpg,png}' -m model.onnx         a pattern, for shells that do not expand it
  classify -m model.onnx -i photos/ --format json -o results.jsonl
  classify -m model.onnx -i photos/ --format npz --save-outputs features -o features.npz
  find photos -name '*.jpg' -print0 | classify -m model.onnx -i -
  echo '{\"id\": 7, \"path\": \"cat.jpg\"}' | classify -m model.onnx --stream
  classify -m model.onnx --input-list all.txt --shard 0/64 --out-dir parts --format json
  classify merge parts -o results.jsonl               one file of the parts of all 64 shards
  classify --backend remote --url grpc://host:8001 -m net:3 -i photos/ --preprocess net.onnx
  classify devices                                    engines and devices, and why some are unavailable
  classify inspect model.onnx                         the preprocessing and the source of each value
  classify -m mobilenet.onnx -i cat.jpg --recipe torchvision:mobilenet_v2@IMAGENET1K_V1";

/// The message of `classify` alone.
pub const START: &str = "\
Say what is in images, on any inference engine, and whether the answer can be trusted.

  classify cat.jpg                                    the set-up's default model
  classify cat.jpg -m model.onnx                      another model; photos/ and '*.jpg' are images too
  classify compare openvino onnx -m model.onnx -i photos/
  classify evaluate onnx -m model.onnx -i photos/ --truth truth.csv
  classify demo                                       three photos on every installed engine
  classify devices                                    engines and devices

`classify --help` lists all commands and flags.";

/// Meaning of the exit codes.
pub const EXIT_CODES: &str = "0 success, 1 an input failed, 2 usage or environment (no model, engine or device), \
    129, 130 and 143 interrupted";

pub const INSPECT_EXAMPLES: &str = "\
  classify inspect model.xml
  classify inspect model.onnx --backend onnx --format json
  classify inspect --recipes 'torchvision:resnet*'    the preprocessing of published weights
  classify inspect model.onnx --format json | jq .preprocess > preprocess.json
  classify -m other.onnx -i cat.jpg --preprocess preprocess.json";

pub const TENSORS_EXAMPLES: &str = "\
  classify tensors -m model.onnx -i photos/ -o inputs.npz
  classify tensors -m model.onnx -i photos/ -o inputs/        a directory of .npy files, to map into memory
  classify compare openvino onnx --against outputs.npz -m model.onnx -i photos/";

pub const DEVICES_EXAMPLES: &str = "\
  classify devices
  classify devices --backend openvino --format json | jq '.engines[0].devices[].name'
  classify devices --plugins plugins.xml              with the aliases of a plugins file";

pub const COMPARE_EXAMPLES: &str = "\
  classify compare openvino onnx -m model.onnx -i photos/
  classify compare openvino:CPU@f32 openvino:CPU@bf16 -m model.xml -i photos/
  classify compare onnx openvino:HETERO:GPU,CPU -m model.onnx -i photos/ --report report.html
  classify compare onnx=original.onnx onnx=quantized.onnx -i photos/ --tolerance int8
  classify compare openvino:GPU --record lab.jsonl -m model.onnx -i photos/
  classify compare openvino:CPU --against lab.jsonl -m model.onnx -i photos/
  classify compare onnx openvino --against outputs.npz -m model.onnx -i photos/
  classify compare onnx remote=grpc://host:8001/resnet50 -m resnet50.onnx -i photos/
  classify compare onnx openvino@bf16 -m model.onnx -i photos/ --bisect";

/// Meaning of the exit codes of `compare`.
pub const COMPARE_EXIT_CODES: &str = "0 the runs agree, 1 they do not, 2 something could not be compared, 129, 130 and 143 interrupted";

pub const EVALUATE_EXAMPLES: &str = "\
  classify evaluate openvino -m model.onnx -i photos/ --truth ground-truth.tsv
  classify evaluate onnx openvino@bf16 -m model.onnx -i photos/ --truth val.txt --max-drop 1%
  classify evaluate openvino -m model.onnx -i dataset/ -r --truth-folders --min-top1 75%
  classify evaluate openvino -m model.onnx -i photos/ --truth labels.csv --report report.md
  classify evaluate onnx -m tags.onnx -i photos/ --truth tags.csv --scores sigmoid --threshold 0.4
  classify evaluate onnx=old.onnx onnx=new.onnx -i photos/ --truth val.txt --min-truth 100%";

/// Meaning of the exit codes of `evaluate`.
pub const EVALUATE_EXIT_CODES: &str = "0 all gates passed, 1 a gate failed, 2 something could not be evaluated, 129, 130 and 143 interrupted";

pub const MERGE_EXAMPLES: &str = "\
  classify merge parts -o results.jsonl               the rows of all parts, in input order
  classify merge parts > results.csv
  classify merge verdicts --report report.html        the verdict over the images of all shards";

/// Meaning of the exit codes of `merge`.
pub const MERGE_EXIT_CODES: &str = "those of the command that wrote the parts; 2 if parts are missing, damaged or of different jobs";

pub const CHECK_EXAMPLES: &str = "\
  classify check
  classify check --config ci/gate.toml
  classify check --config ci/gate.toml --max-drop 2% -i other-photos
  classify check --report '{command}.html'            compare.html and evaluate.html";

/// Meaning of the exit codes of `check`.
pub const CHECK_EXIT_CODES: &str = "0 all gates passed, 1 a gate failed, 2 something could not be compared or evaluated, 129, 130 and 143 interrupted";

pub const BENCH_EXAMPLES: &str = "\
  classify bench openvino onnx rten -m model.onnx -i photos/
  classify bench openvino@f32 openvino@auto --duration 30 --format json
  classify bench openvino onnx --hint latency
  classify bench openvino --requests 1,2,4";
